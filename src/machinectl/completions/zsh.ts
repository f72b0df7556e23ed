// Completions for zsh: zshcompsys(1).
import { completions, verbsByOffers, type Offer, type OptionCompletion } from './model.js';

export function zshCompletion(): string {
  const { verbs, options } = completions();
  const program = verbs.filter(({ argumentsBeforeCommand }) => argumentsBeforeCommand !== undefined);
  return `#compdef machinectl
# made by scripts/completions.mjs

local -a machinectl_scope
local machinectl_verb
typeset -A opt_args

(( $+functions[_machinectl_machines] )) || _machinectl_machines() {
    local -a names
    names=(\${\${(f)"$(_call_program machines machinectl $machinectl_scope list --no-legend --no-pager --full 2>/dev/null)"}%% *})
    _wanted machines expl machine compadd -a names
}

# An image's name may hold nearly everything: what follows it is cut off.
(( $+functions[_machinectl_images] )) || _machinectl_images() {
    local -a names
    names=(\${(f)"$(_call_program images machinectl $machinectl_scope list-images --no-legend --no-pager --full 2>/dev/null |
        sed -E 's/ +(directory|subvolume|raw|block|mstack) +(yes|no) .*//')"})
    _wanted images expl image compadd -a names
}

(( $+functions[_machinectl_verbs] )) || _machinectl_verbs() {
    local -a verbs
    verbs=(
${verbs.map(({ name, summary }) => `        ${quote(`${name}:${summary}`)}`).join('\n')}
    )
    _describe -t verbs 'machinectl verb' verbs
}

# What the arguments of each verb may be; the last one goes for all that follow.
(( $+functions[_machinectl_arguments] )) || _machinectl_arguments() {
    local -a offers
    local offer
    case $machinectl_verb in
${verbsByOffers(verbs).map(({ names, offers }) => `        ${names.join('|')}) offers=(${offers.map((offer) => quote(actionOf(offer))).join(' ')}) ;;`).join('\n')}
        *) return 1 ;;
    esac
    # another program's command line begins after one argument of these
    if [[ $machinectl_verb == (${program.map(({ name }) => name).join('|')}) ]] && (( CURRENT > 2 )); then
        return 1
    fi
    offer=\${offers[CURRENT - 1 > $#offers ? $#offers : CURRENT - 1]}
    case $offer in
        '') _message 'no more to be said' ;;
        =*) compadd -- \${=offer#=} ;;
        *) \${=offer} ;;
    esac
}

local curcontext=$curcontext state line ret=1
_arguments -C -s -S \\
${options.flatMap(argumentSpecs).map((spec) => `    ${spec} \\`).join('\n')}
    '1: :_machinectl_verbs' \\
    '*:: :->arguments' && ret=0

if [[ $state == arguments ]]; then
    machinectl_verb=$words[1]
    (( $+opt_args[--user] )) && machinectl_scope=(--user)
    _machinectl_arguments && ret=0
fi
return ret
`;
}

/** The function, with its parameters, that offers it; '=' and words; or nothing. */
function actionOf(offer: Offer): string {
  if (typeof offer !== 'string') return `=${offer.join(' ')}`;
  return { machine: '_machinectl_machines', image: '_machinectl_images', 'machine-or-image': '_alternative machines::_machinectl_machines images::_machinectl_images',
    'host-path': '_files', host: '_hosts', user: '_users', nothing: '' }[offer];
}

/** For _arguments: all spellings, which exclude one another unless the option may be given again. */
function argumentSpecs({ short, long, summary, offer }: OptionCompletion): readonly string[] {
  if (summary === '') return [];
  const spellings = [...(short === undefined ? [] : [`-${short}`]), ...(long === undefined ? [] : [`--${long}`])];
  const action = offer === undefined ? '' : `:${long ?? short ?? ''}:${actionInSpec(offer)}`;
  return spellings.map((spelling) => {
    const takes = offer === undefined ? '' : spelling.startsWith('--') ? '=' : '+';
    return quote(`*${spelling}${takes}[${summary.replace(/[[\]\\:]/g, '\\$&')}]${action}`);
  });
}

function actionInSpec(offer: Offer): string {
  if (typeof offer !== 'string') return `(${offer.join(' ')})`;
  return offer === 'nothing' ? ' ' : actionOf(offer);
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
