// What is usually advised: a cursor, and unordered bulk writes of 1,000.
import { MongoClient } from 'mongodb';

const client = new MongoClient(process.env.MONGODB_URI);
const users = client.db().collection('users');
let changed = 0;
let ops = [];
for await (const user of users.find()) {
  ops.push({ updateOne: { filter: { _id: user._id }, update: { $set: { email: user.email.toLowerCase() } } } });
  if (ops.length === 1000) {
    changed += (await users.bulkWrite(ops, { ordered: false })).modifiedCount;
    ops = [];
  }
}
if (ops.length > 0) changed += (await users.bulkWrite(ops, { ordered: false })).modifiedCount;
console.log(changed);
await client.close();
