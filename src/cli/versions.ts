/** What --version prints: this program, Node.js, and every engine and optional package, found or not. */

/** The version in package.json; a test holds the two together. */
export const VERSION = '0.1.0';

/** A version, a file, both, or true if only the presence is known; undefined or false if it is missing. */
type Finding =
  | string
  | { readonly file: string; readonly version: string; readonly note?: string }
  | boolean
  | undefined;

/**
 * @param survey a finding for each engine and package, under its name in camel case
 * @returns lines, each ending in a newline
 */
export function versionText<Survey extends { readonly [Name in keyof Survey]: Finding }>(
  survey: Survey,
): string {
  const findings = Object.entries<Finding>({ 'Node.js': process.version, ...survey });
  const lines = findings.map(([name, finding]) => `${hyphenated(name).padEnd(12)}${described(finding)}\n`);
  return `qcow2c ${VERSION}\n${lines.join('')}`;
}

function described(finding: Finding): string {
  if (finding === undefined || finding === false) return 'not found';
  if (finding === true) return 'found';
  if (typeof finding === 'string') return finding;
  const note = finding.note === undefined ? '' : `; ${finding.note}`;
  return `${finding.version} (${finding.file})${note}`;
}

/** fsExt is the package fs-ext. */
function hyphenated(name: string): string {
  return name.replace(/(?<=[a-z])[A-Z]/g, (capital) => `-${capital.toLowerCase()}`);
}
