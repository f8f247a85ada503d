// What is usually advised: a cursor, and unordered bulk writes of 1,000.
let changed = 0;
let ops = [];
db.users.find().forEach((user) => {
  ops.push({ updateOne: { filter: { _id: user._id }, update: { $set: { email: user.email.toLowerCase() } } } });
  if (ops.length === 1000) {
    changed += db.users.bulkWrite(ops, { ordered: false }).modifiedCount;
    ops = [];
  }
});
if (ops.length > 0) changed += db.users.bulkWrite(ops, { ordered: false }).modifiedCount;
print(changed);
