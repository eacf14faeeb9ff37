// Builds app.wasm from app.js and its entry, entry.js.

import { writeFile } from 'node:fs/promises';
import { componentize } from '@bytecodealliance/componentize-js';

const { component } = await componentize({
  sourcePath: 'entry.js',
  witPath: 'wit',
  worldName: 'application',
  // `http` must be disabled: `fetch` would wait inside a call. The features left are for console.error.
  disableFeatures: ['random', 'clocks', 'http', 'fetch-event'],
});
await writeFile('app.wasm', component);
