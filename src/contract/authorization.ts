/**
 * Who may call a method. Stands in the method's declaration; a method without one is refused.
 *
 * - `anyone`: no check at all.
 * - `root`: uid 0 alone.
 * - `polkit`: uid 0, and whom polkit lets do the action.
 */
export type Authorization =
  | { readonly kind: 'anyone' }
  | { readonly kind: 'root' }
  | PolkitAuthorization;

export interface PolkitAuthorization {
  readonly kind: 'polkit';
  /** The full action id; another one where the subject is `.host`, if there is one. */
  readonly action: string;
  readonly hostAction: string;
  /** polkit sees the machine's or image's name under this key … */
  readonly subject: 'machine' | 'name' | 'image' | undefined;
  /** … and this verb, if there is one. */
  readonly verb: string | undefined;
  /** Who registered the machine is let through without being asked. */
  readonly owner: boolean;
}

export const anyone: Authorization = { kind: 'anyone' };
export const rootOnly: Authorization = { kind: 'root' };

/** The last part of the action ids in share/polkit-1/actions/org.freedesktop.machine1.policy. */
type Action =
  | 'login'
  | 'shell'
  | 'open-pty'
  | 'manage-machines'
  | 'inspect-machines'
  | 'create-machine'
  | 'register-machine'
  | 'manage-images'
  | 'inspect-images';

interface PolkitOptions {
  readonly subject?: 'machine' | 'name' | 'image';
  readonly verb?: string;
  readonly owner?: boolean;
  /** `.host` has an action of its own, 'host-…'. */
  readonly ownHostAction?: boolean;
}

export function polkit(action: Action, options: PolkitOptions = {}): Authorization {
  const id = (name: string) => `org.freedesktop.machine1.${name}`;
  return {
    kind: 'polkit',
    action: id(action),
    hostAction: options.ownHostAction === true ? id(`host-${action}`) : id(action),
    subject: options.subject,
    verb: options.verb,
    owner: options.owner ?? false,
  };
}

/** Terminals of a machine: its owner may, and `.host` has actions of its own. */
export const openPty = polkit('open-pty', { subject: 'machine', owner: true, ownHostAction: true });
export const login = polkit('login', { subject: 'machine', verb: 'login', owner: true, ownHostAction: true });
export const shell = polkit('shell', { subject: 'machine', owner: true, ownHostAction: true });

/** Whoever began an operation may cancel it, and whom polkit would have let begin it. */
export const cancelAuthorizations = {
  copy: polkit('manage-machines', { subject: 'machine', verb: 'cancel', owner: true }),
  image: polkit('manage-images', { subject: 'image', verb: 'cancel', owner: true }),
} as const;
