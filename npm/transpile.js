#!/usr/bin/env node
// Turns a component into a folder that can be deployed: the component as JavaScript and core modules, made by jco; the
// files that run it; and an entry point to start from.

import { cp, mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { transpileBytes } from '@bytecodealliance/jco-transpile';
import { componentWit } from '@bytecodealliance/jco-transpile/wasm-tools';
import { PROVIDED } from './wasi.js';

const USAGE = `Usage: wasocket-transpile COMPONENT --target node|workers [--output FOLDER]

Makes a folder to be deployed [default: COMPONENT's name and the target, next to it].

  node     takes a component that exports wasocket:websocket/websocket-handler
  workers  takes an app, which exports wasocket:websocket/app`;

const HANDLER = 'wasocket:websocket/websocket-handler@0.1.0';
/** The first bytes of a component (component model, `Binary.md`): a module has another layer. */
const COMPONENT = [0x00, 0x61, 0x73, 0x6d, 0x0d, 0x00, 0x01, 0x00];
const APP = 'wasocket:websocket/app@0.1.0';

/**
 * @typedef {'node' | 'workers'} Target
 * @typedef {{ imports: string[], exports: string[] }} World
 */

/** An error for the user, without a stack. */
class Refusal extends Error {}

/** The files that run a component, next to the folder of the same name. @type {Record<Target, string[]>} */
const RUNTIME = {
  node: ['node.js', 'serve.js', 'history.js', 'wasi.js', 'node'],
  workers: ['workers.js', 'history.js', 'wasi.js', 'workers'],
};

/** The folder of the package, from which files are copied. */
const here = dirname(fileURLToPath(import.meta.url));

/**
 * @param {string} file
 * @param {Target} target
 * @param {string} output
 */
async function transpile(file, target, output) {
  const component = await readFile(file).catch((error) => {
    throw new Refusal(`${file} cannot be read: ${error.message}`);
  });
  check(await worldOf(file, component), target);
  const { files } = await transpileBytes(component, {
    name: 'app',
    outDir: 'component',
    instantiation: 'sync',
    base64Cutoff: 0,
    nodejsCompat: false,
    wasiShim: false,
    emitTypescriptDeclarations: false,
  });
  for (const name of ['component', 'wasocket']) {
    await rm(join(output, name), { recursive: true, force: true });
  }
  for (const [name, bytes] of Object.entries(files)) {
    await write(join(output, name), bytes);
  }
  const modules = Object.keys(files).map((name) => basename(name)).filter((name) => name.endsWith('.wasm'));
  await write(join(output, 'component.js'), target === 'node' ? nodeComponent(modules) : workersComponent(modules));
  for (const name of RUNTIME[target]) {
    await cp(join(here, name), join(output, 'wasocket', name), { recursive: true });
  }
  // Files that the user may have changed stay as they are.
  await cp(join(here, 'templates', target), output, { recursive: true, force: false });
  if (target === 'workers') {
    await write(join(output, 'workerd.capnp'), await workerdConfig(modules));
  }
}

/**
 * @param {string} path
 * @param {string | Uint8Array} contents
 */
async function write(path, contents) {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, contents);
}

/**
 * The component's imports and exports, with versions.
 *
 * @param {string} file
 * @param {Uint8Array} component
 * @returns {Promise<World>}
 */
async function worldOf(file, component) {
  if (!COMPONENT.every((byte, i) => component[i] === byte)) {
    throw new Refusal(`${file} is no component. "wasocket build" makes one`);
  }
  const wit = await componentWit(component).catch((error) => {
    throw new Refusal(`${file} is damaged: ${error.message}`);
  });
  const world = wit.slice(wit.indexOf('world root'));
  const names = (/** @type {string} */ kind) =>
    [...world.matchAll(new RegExp(`^  ${kind} (\\S+:\\S+);$`, 'gm'))].map(([, name = '']) => name);
  return { imports: names('import'), exports: names('export') };
}

/**
 * @param {World} world
 * @param {Target} target
 * @throws {Refusal} when the target cannot provide an import, or the component lacks an export that it needs
 */
function check({ imports, exports }, target) {
  const [needed, other] = target === 'node' ? [HANDLER, APP] : [APP, HANDLER];
  if (!exports.includes(needed)) {
    const has = exports.includes(other) ? `, it exports ${other}. ${adviceOf(target)}` : '';
    throw new Refusal(`the target ${target} needs a component that exports ${needed}${has}`);
  }
  const isProvided = (/** @type {string} */ name) =>
    name.startsWith('wasocket:websocket/types@') ||
    (name.includes('@0.2.') && PROVIDED.some((prefix) => name.startsWith(prefix)));
  const refused = imports.find((name) => !isProvided(name));
  if (refused !== undefined) {
    throw new Refusal(`the component imports ${refused}, which the target ${target} does not grant`);
  }
}

/** @param {Target} target */
function adviceOf(target) {
  return target === 'node'
    ? 'Join it with the protocol: wasocket compose COMPONENT --target handler'
    : 'An object that sleeps forgets its instance, so the app has to be in the event form, and alone: in Rust, ' +
        'wasocket::events, built with --features wasocket/composed';
}

const GENERATED = '// Made by wasocket-transpile; it is overwritten.\n\n';

/** @param {string[]} modules */
function nodeComponent(modules) {
  return `${GENERATED}import { instantiate } from './component/app.js';
import { compile } from './wasocket/node.js';

const names = ${JSON.stringify(modules)};

export default { instantiate, modules: compile(new URL('component/', import.meta.url), names) };
`;
}

/**
 * Workers may not compile: each module is imported by name.
 *
 * @param {string[]} modules
 */
function workersComponent(modules) {
  const imports = modules.map((name, i) => `import module${i} from './component/${name}';\n`).join('');
  const entries = modules.map((name, i) => `  ${JSON.stringify(name)}: module${i},\n`).join('');
  return `${GENERATED}import { instantiate } from './component/app.js';
${imports}
const modules = {
${entries}};

export default { instantiate, modules };
`;
}

/**
 * For workerd on its own, without wrangler: it needs a list of every file.
 *
 * @param {string[]} modules
 */
async function workerdConfig(modules) {
  const rules = (await readdir(join(here, 'workers'))).sort();
  const scripts = [
    'worker.js',
    'component.js',
    'component/app.js',
    'wasocket/workers.js',
    'wasocket/history.js',
    'wasocket/wasi.js',
    ...rules.map((name) => `wasocket/workers/${name}`),
  ];
  const lines = [
    ...scripts.map((name) => `    (name = "${name}", esModule = embed "${name}"),`),
    ...modules.map((name) => `    (name = "component/${name}", wasm = embed "component/${name}"),`),
  ];
  const template = await readFile(join(here, 'templates/workerd.capnp'), 'utf8');
  return template.replace('    # MODULES', lines.join('\n'));
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { target: { type: 'string' }, output: { type: 'string', short: 'o' }, help: { type: 'boolean' } },
  });
  const [component] = positionals;
  const { target } = values;
  if (values.help) {
    console.log(USAGE);
    return;
  }
  if (component === undefined || positionals.length > 1 || (target !== 'node' && target !== 'workers')) {
    throw new Refusal(USAGE);
  }
  const output = values.output ?? `${component.replace(/\.wasm$/, '')}-${target}`;
  await transpile(component, target, output);
  console.log(`${output}/`);
}

main().catch((error) => {
  console.error(error instanceof Refusal || error.code?.startsWith('ERR_PARSE_ARGS') ? error.message : error);
  process.exitCode = 1;
});
