// Node's parser (llhttp, without leniency) as a filter; in and out are as in weir_verdict.c. FRAMING is "-": Node does not tell it.
'use strict';
process.noDeprecation = true;
const fs = require('fs');
const binding = process.binding('http_parser');
const { HTTPParser } = binding;
const METHODS = binding.allMethods || binding.methods;
const HEAD_BYTES_MAX = 1 << 20;

const hex = (text) => Buffer.from(text || '', 'latin1').toString('hex');
const hexFields = (flat) => {
  let text = '';
  for (let i = 0; i < flat.length; i += 2) text += `${hex(flat[i])}:${hex(flat[i + 1])},`;
  return text;
};

// Only the first message counts: `seen` is closed when it is complete.
let seen;
const parser = new HTTPParser();
// Many fields come in pieces, and the first piece brings the target.
const onHeaders = (flat, url) => {
  if (seen.complete) return;
  (seen.head ? seen.trailers : seen.fields).push(...flat);
  if (!seen.head) seen.url += url;
};
const onHeadersComplete = (major, minor, fields, method, url, status, reason, upgrade, keepAlive) => {
  if (seen.complete) return 0;
  if (fields) seen.fields.push(...fields);
  if (url !== undefined) seen.url = url;
  seen.head = { major, minor, method, status, reason, upgrade, keepAlive };
  // As net/http answers: 1 says "no body", 2 says "no body, and HTTP ends here".
  if (seen.kind === 'h' || (seen.kind !== 'q' && status < 200)) return 1;
  return seen.kind === 'c' && status >= 200 && status < 300 ? 2 : 0;
};
const onBody = (piece) => { if (!seen.complete) seen.body.push(piece); };
const onMessageComplete = () => { seen.complete = true; };

function run(kind, message) {
  seen = { kind, head: null, fields: [], trailers: [], body: [], complete: false, url: '' };
  parser.initialize(kind === 'q' ? HTTPParser.REQUEST : HTTPParser.RESPONSE, {}, HEAD_BYTES_MAX, HTTPParser.kLenientNone || 0);
  parser[HTTPParser.kOnHeaders] = onHeaders;
  parser[HTTPParser.kOnHeadersComplete] = onHeadersComplete;
  parser[HTTPParser.kOnBody] = onBody;
  parser[HTTPParser.kOnMessageComplete] = onMessageComplete;
  return parser.execute(message);
}

// Node does not tell where the first message ends: it is the shortest piece that is complete.
function findEnd(kind, message) {
  let low = 0, high = message.length;
  run(kind, message.subarray(0, high - 1));
  if (!seen.complete) return high;
  high -= 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    run(kind, message.subarray(0, middle));
    if (seen.complete) high = middle; else low = middle;
  }
  return high;
}

function life(kind, head) {
  if (head.status === 101 || (kind === 'c' && head.status >= 200 && head.status < 300)) return 'upgrade';
  if (kind === 'q' && METHODS[head.method] === 'CONNECT') return 'upgrade';
  return head.keepAlive ? 'keep' : 'close';
}

function judge(kind, message) {
  let result = run(kind, message);
  let first = seen;
  let end = null;
  if (!first.complete && typeof result === 'number') {
    const finished = parser.finish();
    if (finished) result = finished;
    if (first.complete) end = message.length;
  }
  // What is wrong behind the first message is not the first message's.
  if (!first.complete) {
    if (typeof result !== 'number') return result.code === 'HPE_INVALID_EOF_STATE' ? 'incomplete' : `refused\t${result.code}`;
    // Where an upgrade is asked for, Node keeps its reason to itself.
    return result < message.length ? 'refused\tHPE_UNKNOWN' : 'incomplete';
  }
  const head = first.head;
  if (end === null) end = findEnd(kind, message);
  const start = kind === 'q' ? hex(METHODS[head.method]) : head.status;
  return ['accepted', start, hex(kind === 'q' ? first.url : head.reason), head.major === 1 ? head.minor : `${head.major}.${head.minor}`,
    hexFields(first.fields), '-', Buffer.concat(first.body).toString('hex'), hexFields(first.trailers), end, life(kind, head)].join('\t');
}

const input = fs.readFileSync(0);
const lines = [];
for (let at = 0; at < input.length;) {
  const length = input.readUInt32LE(at);
  const kind = String.fromCharCode(input[at + 4]);
  // A copy: parsers must not see what lies behind.
  lines.push(judge(kind, Buffer.from(input.subarray(at + 5, at + 5 + length))));
  at += 5 + length;
}
lines.push('');
const output = Buffer.from(lines.join('\n'));
for (let at = 0; at < output.length;) at += fs.writeSync(1, output, at);
