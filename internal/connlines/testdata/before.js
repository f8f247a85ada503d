#!/usr/bin/env node
/* The pattern that
   everybody copies. */
const mongoose = require('mongoose');

const uri = process.env.MONGODB_URI || 'mongodb://localhost:27017/myappdb';

async function main() {
  // Connect.
  await mongoose.connect(uri, {
    serverSelectionTimeoutMS: 5000,
  });
  mongoose.connection.on('error', (err) => {
    console.error(err);
  });
  const n = await User.countDocuments();
  if (n > 0) {
    console.log(n);
  }
  await mongoose.disconnect();
}

main();
