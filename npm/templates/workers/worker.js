// The app as a Durable Object, and the Worker in front of it.

import component from './component.js';
import { durableObject } from './wasocket/workers.js';

export const App = durableObject(component);

export default {
  fetch(request, env) {
    // A publication reaches the connections of one object. All are of the same one here; to have more objects,
    // name them after what belongs together, such as a room: new URL(request.url).pathname.
    const name = 'app';
    return env.APP.get(env.APP.idFromName(name)).fetch(request);
  },
};
