// The entry to the component: calls the app, and reports its exceptions, each of which costs one connection only.

import { app as own } from './app.js';

export const app = {
  handle(connection, state, events) {
    try {
      return own.handle(connection, state, events);
    } catch (error) {
      return [{ tag: 'fail', val: `${error}\n${error?.stack ?? ''}` }];
    }
  },
};
