#!/usr/bin/env sh
':' //; trap '' USR1; unset NODE_EXTRA_CA_CERTS; true 2>/dev/null 3>&1 || exec 1</dev/null; exec node --inspect-port=192.0.2.1:9229 "$0" "$@"
process.on('SIGUSR1', function ignore() {});
// The lines above are a shell script and JavaScript. All of the file is ES5 and CommonJS, so that a Node.js of any age
// can read it and say that it is too old.
//
// The shell replaces a closed standard output (`>&-`) by one that refuses every write. Node.js would open /dev/null in its
// place, and an answer would be lost without an error.
//
// The shell unsets NODE_EXTRA_CA_CERTS, because the program makes no TLS connection through Node.js. Node.js 20 would read
// those certificates at every start: the usual file of a Linux system takes 35 ms.
//
// SIGUSR1 asks for progress, and the commands that show it add their listeners. Without a listener Node.js opens its
// debugger on that signal, through which every user of the machine can run code as the user of this process.
// - Started by its name: the signal is ignored until Node.js starts. Until the listener above is there, the debugger
//   cannot open, because no machine has the address that it is to listen at (RFC 5737 keeps it for documentation).
//   `--disable-sigusr1` would do the same, but Node.js 20 refuses to start with an option that it does not know.
// - Started as `node qcow2c.js`: the debugger may open before the listener is there, or a moment later, when Node.js
//   emits `internalMessage`. It is closed at once. Only then is Node.js's module for it loaded, which takes 5 ms.

/** A debugger that was asked for stays. */
var ASKED_FOR = /(^|\s)--inspect(-brk|-wait)?(=|\s|$)/;
var NOWHERE = '--inspect-port=192.0.2.1:9229';

function isSupported(version) {
  var parts = /^v(\d+)\.(\d+)\./.exec(version);
  var major = Number(parts[1]);
  var minor = Number(parts[2]);
  return (major === 20 && minor >= 19) || (major === 22 && minor >= 12) || major >= 24;
}

function canDebuggerOpen() {
  return process.features.inspector && process.execArgv.indexOf(NOWHERE) < 0;
}

function isDebuggerWanted() {
  return ASKED_FOR.test(process.execArgv.concat(process.env.NODE_OPTIONS || '').join(' '));
}

function keepDebuggerClosed() {
  // Loaded beforehand, because the event may come while Node.js loads another module of its own.
  var inspector = require('inspector');
  process.on('internalMessage', function (message) {
    if (message && message.cmd === 'NODE_DEBUG_ENABLED') inspector.close();
  });
  inspector.close();
}

function start() {
  if (canDebuggerOpen() && !isDebuggerWanted()) keepDebuggerClosed();
  return require('./start.js')().then(function (program) { return program.main(); });
}

function explain(error) {
  if (error.code !== 'EMFILE' && error.code !== 'ENFILE') throw error;
  require('fs').writeSync(2, 'qcow2c: Could not load the program: Too many open files (ulimit -n sets the limit)\n');
  process.exitCode = failureCode();
}

/** For compare 1 means that the images differ. */
function failureCode() {
  return process.argv[2] === 'compare' ? 2 : 1;
}

if (isSupported(process.version)) {
  // The function runs at once.
  new Promise(function (resolve) { resolve(start()); }).catch(explain);
} else {
  console.error('qcow2c: Node.js 20.19, 22.12, 24 or newer is needed, but this is Node.js ' + process.version);
  process.exit(failureCode());
}
