/** What `--version` tells of this machine: engines, optional packages, and what is lost without them. */
import { type EngineSurvey, surveyEngines as surveyCompression } from '../compress/engines.js';
import { canFindHoles } from '../raw/holes.js';

export interface Survey extends EngineSurvey {
  /** Whether fs-ext is there, which finds holes by seeking. */
  readonly fsExt: boolean;
}

/** @returns the engines and optional packages of this machine */
export async function surveyEngines(): Promise<Survey> {
  const [engines, fsExt] = await Promise.all([surveyCompression(), canFindHoles()]);
  return { ...engines, fsExt };
}
