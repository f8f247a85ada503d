'use strict';

const { ScriptBase } = require('./scriptBase');
const { ScriptRunner } = require('./scriptRunner');

class FindOne extends ScriptBase {
  async execute({ connection }) {
    const user = await connection.collection('users').findOne({});
    return user.email;
  }
}

module.exports = ScriptRunner.createCli(FindOne);

if (require.main === module) {
  module.exports();
}
