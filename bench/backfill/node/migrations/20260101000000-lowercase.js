module.exports = {
  // What is usually advised: a cursor, and unordered bulk writes of 1,000.
  async up(db) {
    const users = db.collection('users');
    let ops = [];
    for await (const user of users.find()) {
      ops.push({ updateOne: { filter: { _id: user._id }, update: { $set: { email: user.email.toLowerCase() } } } });
      if (ops.length === 1000) {
        await users.bulkWrite(ops, { ordered: false });
        ops = [];
      }
    }
    if (ops.length > 0) await users.bulkWrite(ops, { ordered: false });
  },
  async down() {},
};
