// The plan's ScriptRunner: options from the command line, exit codes.
'use strict';

const { ScriptBase } = require('./scriptBase');

function parseArgs(argv) {
  const options = {};
  for (let i = 0; i < argv.length; i++) {
    if (!argv[i].startsWith('--')) {
      throw new Error(`Unexpected argument ${argv[i]}`);
    }
    const [key, ...rest] = argv[i].slice(2).split('=');
    let value = rest.length > 0 ? rest.join('=') : argv[i + 1];
    if (rest.length === 0) {
      i++;
    }
    try {
      value = JSON.parse(value);
    } catch {
      // not JSON: text
    }
    options[key] = value;
  }
  return { ...options.config, ...options };
}

class ScriptRunner {
  static async run(Script, options = {}) {
    const script = Script.prototype instanceof ScriptBase
      ? new Script(options)
      : Object.assign(new ScriptBase(options), { execute: (context) => Script(context, options) });
    return await script.run();
  }

  static createCli(Script, defaults = {}) {
    return async () => {
      try {
        const result = await ScriptRunner.run(Script, { ...defaults, ...parseArgs(process.argv.slice(2)) });
        console.log(JSON.stringify(result));
        process.exitCode = 0;
      } catch (error) {
        console.error('Script failed:', error.message);
        process.exitCode = 1;
      }
    };
  }
}

module.exports = { ScriptRunner };
