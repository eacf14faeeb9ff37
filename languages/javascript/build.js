// Makes a component of a module: node build.js echo.js echo.wasm

import { writeFile } from 'node:fs/promises';
import { componentize } from '@bytecodealliance/componentize-js';

const [sourcePath, output] = process.argv.slice(2);

const { component } = await componentize({
  sourcePath,
  witPath: new URL('../../wit', import.meta.url).pathname,
  worldName: 'application',
  // An app is given what it needs to know. What is left is `stdio`: `console.error`, and the stack of an
  // exception that nobody catches.
  disableFeatures: ['random', 'clocks', 'http', 'fetch-event'],
});
await writeFile(output, component);
