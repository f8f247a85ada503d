// What agenda makes of empty jobs, measured as bench/serve does for Rikki: it prints JSON.
//
//   node agenda.mjs RUNS WORKERS SINGLES [streams]
import { Agenda } from 'agenda';
import { MongoBackend, MongoChangeStreamNotificationChannel } from '@agendajs/mongo-backend';
import { MongoClient } from 'mongodb';

const [runs, workers, singles] = process.argv.slice(2, 5).map(Number);
const streams = process.argv[5] === 'streams';

const client = await MongoClient.connect(process.env.MONGODB_URI, { maxPoolSize: 2 * workers });
const db = client.db('bench_agenda');

let begun = () => {};
let ended = () => {};

async function serve() {
  const options = { backend: new MongoBackend({ mongo: db }), maxConcurrency: workers, defaultConcurrency: workers };
  if (streams) {
    options.notificationChannel = new MongoChangeStreamNotificationChannel({ db });
  }
  const agenda = new Agenda(options);
  agenda.define('empty', async () => begun(performance.now()));
  agenda.on('complete', () => ended(performance.now()));
  agenda.on('error', (error) => {
    console.error(error);
    process.exit(1);
  });
  await agenda.ready;
  return agenda;
}

const until = (n, set) => new Promise((resolve) => set((at) => { if (--n === 0) resolve(at); }));
const start = () => until(1, (fn) => { begun = fn; });
const end = (n) => until(n, (fn) => { ended = fn; });
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const waits = [];
let agenda = await serve();
await agenda.start();
for (let i = 0; i <= singles; i++) {
  const [first, last] = [start(), end(1)];
  const asked = performance.now();
  await agenda.now('empty');
  const at = await first;
  await last;
  if (i > 0) {
    waits.push(at - asked);
  }
  await sleep(20 + Math.random() * 80);
}
await agenda.stop();

let seconds = 0;
if (runs > 0) {
  agenda = await serve();
  for (let i = 0; i < runs; i += 16) {
    await Promise.all(Array.from({ length: Math.min(16, runs - i) }, () => agenda.now('empty')));
  }
  const last = end(runs);
  const began = performance.now(); // and not from the first start: all jobs are locked before that
  await agenda.start();
  seconds = ((await last) - began) / 1000;
  await agenda.stop();
}

const done = await db.collection('agendaJobs').countDocuments({ name: 'empty', lastFinishedAt: { $type: 'date' } });
if (done !== runs + singles + 1) {
  throw new Error(`${done} of ${runs + singles + 1} jobs succeeded`);
}
await client.close();
console.log(JSON.stringify({ seconds, waits_ms: waits }));
process.exit(0);
