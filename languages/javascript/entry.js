// The entry to the component: calls the app, and reports its exceptions, each of which costs one connection only.

import { app as own } from './app.js';

export const app = {
  handle(connection, state, events) {
    try {
      // An app may return nothing for an event that it does not know.
      return own.handle(connection, state, events).filter((action) => action !== undefined);
    } catch (error) {
      return [{ tag: 'fail', val: `${error}\n${error?.stack ?? ''}` }];
    }
  },
};
