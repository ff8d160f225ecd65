/** Each recipe is read by the program that it is written for: systemd, a YAML parser, a shell, and qcow2c. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { parseCommandLine } from '../../src/cli/command-line.js';
import { useScratch } from '../e2e/scratch.js';
import { run, runOk } from '../oracle/run.js';
import { dockerfileSteps, documentBlocks, RECIPES, readmeBlocks, recipeFiles } from './recipe-text.js';

const path = useScratch();
const files = recipeFiles();
const ending = (suffix: string) => files.filter((file) => file.endsWith(suffix));

test('every file of the recipes is of a kind that is checked here', () => {
  const known = files.filter((file) =>
    /\.(service|timer|conf|yml|yaml|sbatch)$|\/(Dockerfile|qcow2c-\w+|convert-all)$/.test(file),
  );
  expect(known).toEqual(files);
  expect(files.length).toBeGreaterThan(9);
});

test('the page of the recipes names every file', async () => {
  const page = await readFile(join(RECIPES, 'README.md'), 'utf8');
  for (const file of files) expect(page).toContain(basename(file));
});

/** What systemd says of units in a root of their own, which has systemd's targets and the programs that they start. */
async function verdict(root: string, units: Readonly<Record<string, string>>): Promise<string> {
  const place = (name: string) => path(root, name);
  for (const name of ['etc/systemd/system', 'usr/bin', 'usr/local/sbin', 'usr/lib/systemd/system'])
    await mkdir(place(name), { recursive: true });
  await runOk('sh', ['-c', 'cp -t "$0" *.target *.slice', place('usr/lib/systemd/system')], {
    cwd: '/usr/lib/systemd/system',
  });
  for (const program of ['usr/bin/qcow2c', 'usr/local/sbin/qcow2c-nightly', 'usr/local/sbin/backup-machine'])
    await writeFile(place(program), '#!/bin/sh\n', { mode: 0o755 });
  for (const [name, text] of Object.entries(units))
    await writeFile(place(`etc/systemd/system/${name}`), text);
  const names = Object.keys(units).map((name) => name.replace('@', '@disk1'));
  const words = ['verify', '--man=no', `--root=${place('')}`, ...names];
  const { status, stdout, stderr } = await run('systemd-analyze', words);
  return status === 0 ? stdout + stderr : `${stdout}${stderr}exit code ${status}`;
}

describe('systemd accepts', () => {
  test('the units of the recipes', async () => {
    const units = await Promise.all(
      [...ending('.service'), ...ending('.timer')].map(
        async (file) => [basename(file), await readFile(file, 'utf8')] as const,
      ),
    );
    expect(units).toHaveLength(2);
    expect(await verdict('recipes', Object.fromEntries(units))).toBe('');
  });

  test('the units in README.md', async () => {
    const [block, ...more] = readmeBlocks('ini');
    expect(more).toEqual([]);
    const units = block!.split(/^# \/etc\/systemd\/system\//m).slice(1);
    expect(units).toHaveLength(2);
    const pairs = units.map((text) => [text.slice(0, text.indexOf('\n')), text.slice(text.indexOf('\n'))]);
    expect(await verdict('readme', Object.fromEntries(pairs))).toBe('');
  });

  test('the units in docs/backup.md', async () => {
    const units = readmeBlocks('ini', 'docs/backup.md').map((text) => {
      const [first = ''] = text.split('\n', 1);
      return [basename(first), text] as const;
    });
    expect(units).toHaveLength(2);
    expect(await verdict('backup', Object.fromEntries(units))).toBe('');
  });

  test('no unit with a misspelt setting or a missing program', async () => {
    const unit = (program: string) => `[Service]\nType=oneshot\nExecStart=${program}\nNicer=10\n`;
    expect(await verdict('misspelt', { 'wrong.service': unit('/usr/bin/qcow2c') })).toContain("'Nicer'");
    expect(await verdict('missing', { 'wrong.service': unit('/usr/bin/none') })).toContain('not executable');
  });
});

/** Shell commands of a recipe: a file, or what it hands to a shell. */
interface Commands {
  readonly name: string;
  readonly text: string;
}

type Job = Record<string, unknown>;

/** The commands of a CI job, which YAML text describes in the way of GitHub or GitLab. */
function commandsOf(name: string, text: string): Commands[] {
  const { jobs, ...others } = parse(text, { strict: true, uniqueKeys: true }) as {
    jobs?: Record<string, Job>;
  };
  const found: string[] = [];
  if (jobs !== undefined) {
    expect(others).toHaveProperty('on');
    for (const { steps, ...job } of Object.values(jobs)) {
      expect(job['runs-on']).toMatch(/^ubuntu-/);
      for (const step of steps as { uses?: string; run?: string }[]) {
        expect(Object.keys(step).filter((key) => key === 'uses' || key === 'run')).toHaveLength(1);
        if (step.run !== undefined) found.push(step.run);
      }
    }
  } else {
    for (const job of Object.values(others as Record<string, Job>)) {
      if (Array.isArray(job['script'])) found.push((job['script'] as string[]).join('\n'));
    }
  }
  expect(found.length).toBeGreaterThan(0);
  return found.map((lines, index) => ({ name: `${name}-${index}.sh`, text: `#!/bin/bash -e\n${lines}\n` }));
}

function dockerCommands(name: string, text: string): Commands[] {
  const steps = dockerfileSteps(text);
  expect(steps.map(({ instruction }) => instruction)).toEqual(
    expect.arrayContaining(['FROM', 'COPY', 'RUN', 'WORKDIR', 'ENTRYPOINT']),
  );
  const own = steps
    .filter(({ instruction }) => instruction === 'ARG')
    .map(({ words }) => words.split('=')[0]!);
  const runs = steps.filter(({ instruction }) => instruction === 'RUN');
  return runs.map(({ words }, index) => {
    const set = own
      .filter((argument) => words.includes(argument))
      .map(
        (argument) => `${argument}=1
`,
      );
    return {
      name: `${name}-${index}.sh`,
      text: `#!/bin/sh
${set.join('')}${words}
`,
    };
  });
}

const read = (file: string) => readFile(file, 'utf8');

/** All of them. */
async function allCommands(): Promise<Commands[]> {
  const scripts = files.filter((file) => !/\.(service|timer|conf|yml|yaml)$|Dockerfile$/.test(file));
  const texts = await Promise.all(
    scripts.map(async (file) => ({ name: basename(file), text: await read(file) })),
  );
  const jobs = await Promise.all(
    ending('.yml').map(async (file) => commandsOf(basename(file), await read(file))),
  );
  const images = await Promise.all(
    ending('Dockerfile').map(async (file) => dockerCommands('Dockerfile', await read(file))),
  );
  const readme = [
    ...readmeBlocks('yaml').flatMap((text, index) => commandsOf(`readme-${index}`, text)),
    ...readmeBlocks('dockerfile').flatMap((text, index) => dockerCommands(`readme-image-${index}`, text)),
  ];
  const documents = documentBlocks('bash').map((text, index) => ({
    name: `document-${index}.sh`,
    // nbdkit sets $uri in the shell that it starts.
    text: text.startsWith('nbdkit') ? `# shellcheck disable=SC2016\n{\n${text}}\n` : text,
  }));
  return [...texts, ...jobs.flat(), ...images.flat(), ...readme, ...documents];
}

test('shellcheck finds nothing in scripts, CI jobs, Dockerfiles and documents', async () => {
  const commands = await allCommands();
  expect(commands.length).toBeGreaterThan(12);
  const names = commands.map(({ name }) => path(name));
  await Promise.all(commands.map(({ text }, index) => writeFile(names[index]!, text)));
  const outcome = await run('shellcheck', ['--severity=style', '--shell=bash', ...names]);
  expect(outcome).toEqual({ status: 0, signal: null, stdout: '', stderr: '' });
});

test('qcow2c understands every command line without variables, in recipes, README.md and docs', async () => {
  const scripts = (await allCommands()).map(({ text }) => text);
  const units = await Promise.all(ending('.service').map(read));
  const texts = [...scripts, ...units, ...readmeBlocks('sh'), ...documentBlocks('sh'), ...readmeBlocks('ini')]
    .join('\n')
    .replaceAll(/(^| )#.*$/gm, '');
  const lines = [...texts.matchAll(/(?<![\w/-])(?:\/usr\/bin\/)?qcow2c ([^\n#<>|&]*)/g)].map(([, words]) =>
    words!.trim(),
  );
  const plain = lines.filter((line) => !/[$"{]/.test(line));
  expect(plain.length).toBeGreaterThan(15);
  for (const line of plain) expect(() => parseCommandLine(line.split(/ +/)), line).not.toThrow();
});

test('the Kubernetes job gives qcow2c an index, threads, and less memory than the container has', async () => {
  const [file, ...more] = ending('.yaml');
  expect(more).toEqual([]);
  const job = parse(await read(file!), { strict: true, uniqueKeys: true });
  expect(job).toMatchObject({ apiVersion: 'batch/v1', kind: 'Job', spec: { completionMode: 'Indexed' } });
  const { restartPolicy, containers, volumes } = job.spec.template.spec;
  // Kubernetes refuses a podFailurePolicy without it.
  expect(restartPolicy).toBe('Never');
  const [{ name, args, resources, volumeMounts }] = containers;
  expect(volumeMounts[0].name).toBe(volumes[0].name);
  const exits = job.spec.podFailurePolicy.rules.flatMap(
    (rule: { onExitCodes?: object }) => rule.onExitCodes ?? [],
  );
  expect(exits).toEqual([{ containerName: name, operator: 'In', values: [1] }]);
  const words = (args as string[]).map((word) => word.replace('$(JOB_COMPLETION_INDEX)', '7'));
  expect(parseCommandLine(words)).toMatchObject({
    kind: 'convert',
    options: {
      sources: ['/images/disk-7.raw'],
      target: '/images/disk-7.qcow2',
    },
  });
  const at = (option: string) => words[words.indexOf(option) + 1];
  expect([at('-m'), resources.limits.cpu]).toEqual(['2', '2']);
  expect(Number.parseInt(at('--memory')!, 10)).toBeLessThan(Number.parseInt(resources.limits.memory, 10));
});
