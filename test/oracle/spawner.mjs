// Starts programs for a test process and sends back what they said. A process is started by a copy of its parent's page
// tables: from a test process of some hundred megabytes that takes ten times as long as from this small one.
import { spawn } from 'node:child_process';

process.on('disconnect', () => process.exit());
process.on('message', ({ id, program, args, cwd, env, stdin }) => {
  const output = { stdout: '', stderr: '' };
  const stdio = [stdin === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'];
  const child = spawn(program, args, { cwd, env, stdio });
  // A program may end before it has read all.
  child.stdin?.on('error', () => {}).end(stdin);
  for (const name of ['stdout', 'stderr']) {
    child[name].setEncoding('utf8').on('data', (text) => {
      output[name] += text;
    });
  }
  let isOver = false;
  const answer = (message) => {
    if (isOver) return;
    isOver = true;
    process.send({ id, ...message });
  };
  child.on('error', ({ code, message }) => answer({ error: { code, message } }));
  child.on('close', (status, signal) => answer({ outcome: { status, signal, ...output } }));
});
