// Converts with the library and prints what its progress said and when: pairs of the share and of the processor time
// used so far, as JSON. Processor time does not depend on what else the machine does.
import { convert } from 'qcow2c';

const [options] = process.argv.slice(2);
const used = () => {
  const { user, system } = process.cpuUsage();
  return user + system;
};
const start = used();
const reports = [];
await convert({
  ...JSON.parse(options),
  onProgress: ({ share }) => reports.push([share, used() - start]),
});
process.stdout.write(JSON.stringify({ reports, total: used() - start }));
