/** Draws an image as one picture: the disk as the guest sees it, and the contents of its files. */
import type { Cells } from '../../../map/cells.js';
import type { DiskKind } from '../../../map/survey-disk.js';
import type { FileSurvey } from '../../../map/survey-file.js';
import type { ImageSurvey } from '../../../map/survey-image.js';
import { binarySize, roundedPercentage } from './binary-size.js';
import { rectangle, shown, textElement, xmlText } from './markup.js';
import { type Appearance, DISK_KINDS, FILE_KINDS, RATIO_COLOURS } from './palette.js';
import { drawPanel, type LegendEntry, PANEL_LEFT, PANEL_WIDTH, type Panel } from './panel.js';
import { FONT_SIZES, fitted } from './text-width.js';

const WIDTH = PANEL_LEFT + PANEL_WIDTH + 28;
const { title, facts, heading, label, amount, mark } = FONT_SIZES;
const STYLE = `
text { font-family: Inter, 'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif; fill: #1f2933; }
.title { font-size: ${title}px; font-weight: 600; }
.facts { font-size: ${facts}px; fill: #52606d; }
.heading { font-size: ${heading}px; font-weight: 600; }
.label { font-size: ${label}px; }
.amount, .scale { font-size: ${amount}px; fill: #616e7c; }
.end { text-anchor: end; }
.mark { font-size: ${mark}px; text-anchor: middle; }
.light { fill: #ffffff; }
`;

/** @returns an SVG document; its size is bounded for every image */
export function picture(survey: ImageSurvey): string {
  const parts: string[] = [];
  let top = 96;
  const [own, dataFile] = survey.files;
  const panels = [
    diskPanel(survey),
    ...(own === undefined ? [] : [filePanel('The file', own, survey)]),
    ...(dataFile === undefined ? [] : [filePanel(`The data file ${dataFile.name}`, dataFile, survey)]),
  ];
  for (const panel of panels) {
    const { svg, bottom } = drawPanel(panel, top);
    parts.push(svg);
    top = bottom + 34;
  }
  const sizes = factsOf(survey);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${top}" viewBox="0 0 ${WIDTH} ${top}" role="img">\n`,
    `<title>${xmlText(survey.name)}</title>\n<desc>${xmlText(sizes)}</desc>\n<style>${STYLE}</style>\n`,
    rectangle(0, 0, WIDTH, top, '#ffffff'),
    textElement(PANEL_LEFT, 44, 'title', fitted(shown(survey.name), PANEL_WIDTH, 'title')),
    textElement(PANEL_LEFT, 67, 'facts', sizes),
    ...parts,
    '</svg>\n',
  ].join('');
}

function factsOf({
  format,
  clusterSize,
  compressionType,
  virtualSize,
  files,
  backingFiles,
}: ImageSurvey): string {
  const clusters = clusterSize === undefined ? [] : [`clusters of ${binarySize(clusterSize)}`];
  const compression = compressionType === undefined ? [] : [`compression ${compressionType}`];
  const length = files.map(({ cells }) => binarySize(cells.to)).join(' + ');
  const backing =
    backingFiles.length === 0
      ? []
      : [`${backingFiles.length} backing file${backingFiles.length > 1 ? 's' : ''}`];
  return [
    `${format} image`,
    ...clusters,
    ...compression,
    `disk ${binarySize(virtualSize)}`,
    `file ${length}`,
    ...backing,
  ].join('  ·  ');
}

function diskPanel({ disk, backingFiles, clusterSize, virtualSize }: ImageSurvey): Panel {
  const colourOf = (kind: DiskKind, colour: string, cell: number) =>
    kind === 'compressed' ? ratioColour(disk.of('payload', cell) / disk.of('compressed', cell)) : colour;
  const part =
    disk.from > 0 || disk.to < virtualSize ? `, from ${binarySize(disk.from)} to ${binarySize(disk.to)}` : '';
  return {
    title: `The disk${part}`,
    cells: disk,
    sharesOf: (cell) =>
      DISK_KINDS.map(([kind, { colour, empty = false }]) => ({
        colour: colourOf(kind, colour, cell),
        amount: disk.of(kind, cell),
        empty,
      })),
    legend: DISK_KINDS.flatMap(([kind, appearance]): LegendEntry[] => {
      const bytes = disk.total(kind);
      if (bytes === 0) return [];
      const entry = entryOf(appearance, bytes, disk);
      if (kind === 'compressed') return [compressedEntry(disk, bytes)];
      if (kind === 'backing1' || kind === 'backing2') {
        return [{ ...entry, file: backingFiles[kind === 'backing1' ? 0 : 1] }];
      }
      if (kind === 'data' && clusterSize === undefined) return [{ ...entry, label: 'data' }];
      return [entry];
    }),
  };
}

function ratioColour(ratio: number): string {
  const index = Math.ceil(ratio * RATIO_COLOURS.length) - 1;
  return RATIO_COLOURS[Math.max(0, Math.min(index, RATIO_COLOURS.length - 1))] ?? '';
}

function compressedEntry(disk: Cells<DiskKind>, bytes: number): LegendEntry {
  const payload = disk.total('payload');
  return {
    colours: RATIO_COLOURS,
    marks: RATIO_COLOURS.map((_, index) => `${((index + 1) / RATIO_COLOURS.length) * 100}`),
    label: 'compressed, in %',
    amount: `${binarySize(bytes)} stored in ${binarySize(payload)} (${roundedPercentage(payload, bytes)})`,
  };
}

function filePanel(title: string, { cells }: FileSurvey, { clusterSize }: ImageSurvey): Panel {
  return {
    title,
    cells,
    sharesOf: (cell) =>
      FILE_KINDS.map(([kind, { colour, empty = false }]) => ({
        colour,
        amount: cells.of(kind, cell),
        empty,
      })),
    legend: FILE_KINDS.flatMap(([kind, appearance]) => {
      const bytes = cells.total(kind);
      if (bytes === 0) return [];
      const entry = entryOf(appearance, bytes, cells);
      if (kind === 'data' && clusterSize === undefined) return [{ ...entry, label: 'data' }];
      return [entry];
    }),
  };
}

function entryOf<Kind extends string>(
  { colour, label }: Appearance,
  bytes: number,
  { from, to }: Cells<Kind>,
): LegendEntry {
  return {
    colours: [colour],
    label,
    amount: `${binarySize(bytes)} (${roundedPercentage(bytes, to - from)})`,
  };
}
