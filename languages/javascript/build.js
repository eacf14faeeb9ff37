// Makes a component from a module: node build.js echo.js echo.wasm

import { writeFile } from 'node:fs/promises';
import { componentize } from '@bytecodealliance/componentize-js';

const [sourcePath, output] = process.argv.slice(2);

const { component } = await componentize({
  sourcePath,
  witPath: new URL('../../wit', import.meta.url).pathname,
  worldName: 'application',
  // An app gets all it needs in its events. Only `stdio` is left, for `console.error` and the stack of an uncaught
  // exception.
  disableFeatures: ['random', 'clocks', 'http', 'fetch-event'],
});
await writeFile(output, component);
