// The plan's MongooseHelper: one shared mongoose connection, counted by
// references. Its known faults are mended where they stop it from working:
// bufferMaxEntries is gone, a caller that joins a connect under way is counted,
// and listeners are added once.
'use strict';

const mongoose = require('mongoose');

class MongooseHelper {
  constructor() {
    this.connecting = null;
    this.references = 0;
    mongoose.connection.on('error', (error) => console.error('[MongooseHelper] Connection error:', error));
    mongoose.connection.on('disconnected', () => console.log('[MongooseHelper] Disconnected from MongoDB'));
  }

  getMongoUri() {
    return process.env.MONGODB_URI || process.env.MONGO_URI || 'mongodb://localhost:27017/myappdb';
  }

  getConnectionOptions() {
    return { serverSelectionTimeoutMS: 5000, maxPoolSize: 2, bufferCommands: false };
  }

  async connect() {
    this.references++;
    if (!this.connecting) {
      console.log('[MongooseHelper] Connecting to MongoDB...');
      this.connecting = mongoose.connect(this.getMongoUri(), this.getConnectionOptions());
    }
    try {
      await this.connecting;
    } catch (error) {
      this.references--;
      this.connecting = null;
      throw error;
    }
    return mongoose.connection;
  }

  async disconnect() {
    if (this.references === 0 || --this.references > 0) {
      return;
    }
    this.connecting = null;
    await mongoose.disconnect();
  }

  async withConnection(fn, options = {}) {
    await this.connect();
    try {
      return await fn(mongoose);
    } finally {
      if (options.autoDisconnect !== false) {
        await this.disconnect();
      }
    }
  }
}

module.exports = { MongooseHelper, mongooseHelper: new MongooseHelper() };
