// Volumes of storage providers, as command lines write them: PROVIDER:VOLUME[:CONFIG][:KEY=VALUE,…], systemd-vmspawn(1),
// --bind-volume=.
import { parseBoolean } from './boolean.js';
import { parseBytes } from './bytes.js';

const createModes = ['any', 'new', 'open'] as const;
const volumeTypes = ['blk', 'reg', 'dir'] as const;

/** A volume of a provider; whatever is absent, the provider and the machine decide. */
export interface VolumeRequest {
  readonly provider: string;
  readonly volume: string;
  /** The kind of device that the machine gets: 'nvme' for example. */
  readonly config?: string;
  readonly template?: string;
  readonly createMode?: (typeof createModes)[number];
  readonly readOnly?: boolean;
  /** Bytes of a volume that is created. */
  readonly createSize?: bigint;
  readonly requestAs?: (typeof volumeTypes)[number];
}

/** The text is no volume; `errno` is what systemd's machinectl says of it. */
export class VolumeSyntaxError extends Error {
  override readonly name = 'VolumeSyntaxError';
  readonly errno: 'EINVAL' | 'ERANGE';

  constructor(errno: VolumeSyntaxError['errno'] = 'EINVAL') {
    super('No volume is written like this');
    this.errno = errno;
  }
}

/** What machines know an attached volume by. */
export function volumeName({ provider, volume }: VolumeRequest): string {
  return `${provider}:${volume}`;
}

/** Whether a machine can have a volume of that name: 'PROVIDER:VOLUME'. */
export function isVolumeName(text: string): boolean {
  const colon = text.indexOf(':');
  return isProvider(text.slice(0, Math.max(colon, 0))) && isName(text.slice(colon + 1));
}

/** Throws VolumeSyntaxError. */
export function parseVolume(text: string): VolumeRequest {
  const [[provider = '', volume = '', config = ''], parameters] = split(text, ':', 3);
  if (!isProvider(provider) || !isName(volume) || (config !== '' && !isName(config))) throw new VolumeSyntaxError();
  return { provider, volume, ...(config === '' ? {} : { config }), ...parseParameters(parameters) };
}

type Parameters = Omit<VolumeRequest, 'provider' | 'volume' | 'config'>;

/** 'create=new,size=1G'. */
function parseParameters(text: string): Parameters {
  const [words] = split(text, ',', Number.POSITIVE_INFINITY);
  const seen = new Set<string>();
  let parameters: Parameters = {};
  for (const word of words.filter((other) => other !== '')) {
    const equals = word.indexOf('=');
    const key = canonicalKey(word.slice(0, Math.max(equals, 0)));
    if (seen.has(key)) throw new VolumeSyntaxError();
    seen.add(key);
    parameters = { ...parameters, ...parseParameter(key, word.slice(equals + 1)) };
  }
  return parameters;
}

function canonicalKey(key: string): string {
  if (key === 'ro') return 'read-only';
  return key === 'create-size' ? 'size' : key;
}

function parseParameter(key: string, value: string): Parameters {
  switch (key) {
    case 'template':
      if (!isName(value)) throw new VolumeSyntaxError();
      return { template: value };
    case 'create':
      return { createMode: oneOf(createModes, value) };
    case 'request-as':
      return { requestAs: oneOf(volumeTypes, value) };
    case 'read-only': {
      if (value === 'auto') return {};
      const readOnly = parseBoolean(value);
      if (readOnly === undefined) throw new VolumeSyntaxError();
      return { readOnly };
    }
    case 'size':
      return parseSize(value);
    default:
      throw new VolumeSyntaxError();
  }
}

/** 2⁶⁴−1 stands for no size, in all of systemd. */
const noSize = 0xffff_ffff_ffff_ffffn;

function parseSize(text: string): Parameters {
  const size = parseBytes(text);
  if (size === 'out-of-range') throw new VolumeSyntaxError('ERANGE');
  if (size === 'malformed' || size === 0n) throw new VolumeSyntaxError();
  return size === noSize ? {} : { createSize: size };
}

function oneOf<T extends string>(choices: readonly T[], text: string): T {
  const found = choices.find((choice) => choice === text);
  if (found === undefined) throw new VolumeSyntaxError();
  return found;
}

/** At most so many words, in which a backslash takes the meaning from what follows it, and the rest as it stands. */
function split(text: string, separator: string, count: number): readonly [readonly string[], string] {
  const words: string[] = [];
  let word = '';
  for (let index = 0; index < text.length; index++) {
    const character = text.charAt(index);
    if (character === separator) {
      words.push(word);
      if (words.length === count) return [words, text.slice(index + 1)];
      word = '';
      continue;
    }
    if (character === '\\') index++;
    if (index === text.length) throw new VolumeSyntaxError();
    word += text.charAt(index);
  }
  return [[...words, word], ''];
}

/** The name of a socket in the directory of providers. */
function isProvider(text: string): boolean {
  return isName(text) && text !== '.' && text !== '..' && !text.includes('/') && Buffer.byteLength(text) <= 255;
}

/** No control characters, quotes, backslashes or wildcards; and nothing that Node could not read as UTF-8. */
function isName(text: string): boolean {
  return text !== '' && !/[\0-\x1f\x7f"'\\*?[\ufffd]/.test(text);
}
