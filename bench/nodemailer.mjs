// Nodemailer's turn: node nodemailer.mjs INSTALLED PORT FOLDER POOL [CA_FILE]
//
// Reads FOLDER/recipients.csv as it goes, fills the letter in FOLDER/peers for each row (values escaped in the HTML
// part), and sends it through one pooled transport, quoted-printable. The templates are taken apart once, so that
// filling one is joining strings: the cheapest there is. Exits 1 at the first letter that is not accepted.

import { createReadStream, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const [installed, port, folder, pool, caFile] = process.argv.slice(2);
const nodemailer = createRequire(join(installed, 'package.json'))('nodemailer');
const connections = Number(pool);

const ENTITIES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&#34;', "'": '&#39;' };
const escaped = (text) => text.replace(/[&<>"']/g, (mark) => ENTITIES[mark]);
const asIs = (text) => text;

function template(name, shown) {
  const parts = readFileSync(join(folder, 'peers', name), 'utf8').split(/\{\{ (\w+) \}\}/);
  return (row) => parts.map((part, index) => (index % 2 ? shown(row[part]) : part)).join('');
}

function cellsOf(line) {
  if (!line.includes('"')) return line.split(',');
  const cells = [];
  const pattern = /(?:"((?:[^"]|"")*)"|([^,]*))(,|$)/g;
  for (let found = pattern.exec(line); found; found = pattern.exec(line)) {
    cells.push(found[1] === undefined ? found[2] : found[1].replaceAll('""', '"'));
    if (found[3] === '') break;
  }
  return cells;
}

async function* rows() {
  const lines = createInterface({ input: createReadStream(join(folder, 'recipients.csv'), 'utf8') });
  let header;
  for await (const line of lines) {
    const cells = cellsOf(line);
    if (header) yield Object.fromEntries(header.map((name, index) => [name, cells[index]]));
    else header = cells;
  }
}

const subject = template('subject.txt', asIs);
const text = template('letter.txt', asIs);
const html = template('letter.html', escaped);
const transport = nodemailer.createTransport({
  host: '127.0.0.1',
  port: Number(port),
  pool: true,
  maxConnections: connections,
  maxMessages: Infinity,
  secure: Boolean(caFile),
  ignoreTLS: !caFile,
  ...(caFile ? { tls: { ca: readFileSync(caFile) } } : {}),
});

async function send(source) {
  for await (const row of source) {
    await transport.sendMail({
      from: 'Solidarity Committee <letters@example.org>',
      to: row.email,
      subject: subject(row),
      text: text(row),
      html: html(row),
      textEncoding: 'quoted-printable',
    });
  }
}

// Twice as many letters under way as connections: the pool always has one waiting.
const source = rows();
const shared = { [Symbol.asyncIterator]: () => ({ next: () => source.next() }) };
try {
  await Promise.all(Array.from({ length: 2 * connections }, () => send(shared)));
} catch (trouble) {
  console.error(String(trouble.message).split('\n')[0]);
  process.exitCode = 1;
}
transport.close();
