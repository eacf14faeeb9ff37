// Makes a component from a module: node build.js echo.js echo.wasm

import { readFile, rm, writeFile } from 'node:fs/promises';
import { componentize } from '@bytecodealliance/componentize-js';

const [app, output] = process.argv.slice(2);

// As in a new project, but for an app of another name.
const sourcePath = `.entry-of-${app}`;
const entry = await readFile('entry.js', 'utf8');
await writeFile(sourcePath, entry.replace('./app.js', `./${app}`));

const { component } = await componentize({
  sourcePath,
  witPath: new URL('../../wit', import.meta.url).pathname,
  worldName: 'application',
  // An app gets all it needs in its events. Only `stdio` is left, for `console.error`.
  disableFeatures: ['random', 'clocks', 'http', 'fetch-event'],
});
await rm(sourcePath);
await writeFile(output, component);
