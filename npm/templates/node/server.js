// Serves the app: node server.js --help

import component from './component.js';
import { serve } from './wasocket/serve.js';

serve(component, process.argv.slice(2));
