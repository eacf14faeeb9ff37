// Makes app.wasm of app.js.

import { writeFile } from 'node:fs/promises';
import { componentize } from '@bytecodealliance/componentize-js';

const { component } = await componentize({
  sourcePath: 'app.js',
  witPath: 'wit',
  worldName: 'application',
  // `http` has to be disabled: `fetch` would wait inside of a call. What is left is for console.error.
  disableFeatures: ['random', 'clocks', 'http', 'fetch-event'],
});
await writeFile('app.wasm', component);
