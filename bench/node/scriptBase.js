// The plan's ScriptBase: connection, hooks, validation, timeout and log lines
// around a script's execute method.
'use strict';

const { mongooseHelper } = require('./mongooseHelper');

class ScriptBase {
  constructor(options = {}) {
    this.name = options.name || this.constructor.name;
    this.autoDisconnect = options.autoDisconnect !== false;
    this.timeout = options.timeout || 300000;
  }

  async execute() {
    throw new Error('execute method must be implemented by subclass');
  }

  async setup() {}

  async cleanup() {}

  async validate() {
    return { warnings: [], errors: [] };
  }

  log(level, message) {
    console.log(`[${new Date().toISOString()}] [${level.toUpperCase()}] [${this.name}] ${message}`);
  }

  async run() {
    const started = Date.now();
    this.log('info', 'Starting script execution...');
    try {
      const result = await mongooseHelper.withConnection((mongoose) => this.perform(mongoose), {
        autoDisconnect: this.autoDisconnect,
      });
      this.log('info', `Completed in ${Date.now() - started}ms`);
      return result;
    } catch (error) {
      this.log('error', `Failed after ${Date.now() - started}ms: ${error.message}`);
      throw error;
    }
  }

  async perform(mongoose) {
    const context = { mongoose, models: mongoose.models, connection: mongoose.connection };
    const findings = await this.validate(context);
    findings.warnings.forEach((warning) => this.log('warn', warning));
    if (findings.errors.length > 0) {
      throw new Error(`Validation failed: ${findings.errors.join('; ')}`);
    }
    let timer;
    const timeout = new Promise((resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`Timed out after ${this.timeout}ms`)), this.timeout);
    });
    try {
      await this.setup(context);
      return await Promise.race([this.execute(context), timeout]);
    } finally {
      clearTimeout(timer);
      await this.cleanup(context);
    }
  }
}

module.exports = { ScriptBase };
