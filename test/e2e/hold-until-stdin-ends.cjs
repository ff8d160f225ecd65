// Loaded with --require: keeps the process until its standard input ends, then says where its debugger listens.
const { writeSync } = require('node:fs');
const { url } = require('node:inspector');
const { Socket } = require('node:net');

new Socket({ fd: 0 }).resume();
process.on('exit', () => writeSync(2, `debugger at the end: ${url()}\n`));
