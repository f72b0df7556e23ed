// Completions for zsh: zshcompsys(1).
import { completions, optionsWithArgument, verbsByOffers, type Offer, type OptionCompletion } from './model.js';

export function zshCompletion(): string {
  const { verbs, options } = completions();
  const program = verbs.filter(({ argumentsBeforeCommand }) => argumentsBeforeCommand !== undefined);
  return `#compdef machinectl
# made by scripts/completions.mjs

# A machine may be preceded by a user.
(( $+functions[_machinectl_machines] )) || _machinectl_machines() {
    local -a names expl
    compset -P '*@'
    names=(\${\${(f)"$(_call_program machines machinectl $machinectl_scope list --all --no-legend --no-pager --full 2>/dev/null)"}%% *})
    _wanted machines expl machine compadd -a names
}

# An image's name may hold nearly everything: what follows it is cut off.
(( $+functions[_machinectl_images] )) || _machinectl_images() {
    local -a names expl
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
    case $machinectl_words[1] in
${verbsByOffers(verbs).map(({ names, offers }) => `        ${names.join('|')}) offers=(${offers.map((offer) => quote(actionOf(offer))).join(' ')}) ;;`).join('\n')}
        *) return 1 ;;
    esac
    offer=\${offers[$#machinectl_words > $#offers ? $#offers : $#machinectl_words]}
    case $offer in
        '') _message 'no more to be said' ;;
        '='*) compadd -- \${=offer#=} ;;
        *) eval $offer ;;
    esac
}

# The words before the cursor that are no options and no arguments of options: the verb and its arguments. Fails where the
# command line of another program has begun.
(( $+functions[_machinectl_read_words] )) || _machinectl_read_words() {
    local word pending ended
    for word in "\${(@)words[2,CURRENT-1]}"; do
        if [[ -n $pending ]]; then pending=
        elif [[ -n $ended || $word != -* ]]; then machinectl_words+=("$word")
        elif [[ $word == -- ]]; then ended=1
        else
            [[ $word == (--user|--system) ]] && machinectl_scope=("$word")
            [[ $word == (${optionsWithArgument(options).join('|')}) ]] && pending=1
        fi
        [[ $machinectl_words[1] == (${program.map(({ name }) => name).join('|')}) ]] && (( $#machinectl_words > 2 )) && return 1
    done
    return 0
}

local -a machinectl_scope machinectl_words
local curcontext=$curcontext state line ret=1
typeset -A opt_args

_machinectl_read_words || return 1
_arguments -C -s -S \\
${options.flatMap(argumentSpecs).map((spec) => `    ${spec} \\`).join('\n')}
    '*: :->words' && ret=0

if [[ $state == words ]]; then
    if (( $#machinectl_words )); then _machinectl_arguments && ret=0
    else _machinectl_verbs && ret=0
    fi
fi
return ret
`;
}

/** What is evaluated to offer it; '=' and words; or nothing. */
function actionOf(offer: Offer): string {
  if (typeof offer !== 'string') return `=${offer.join(' ')}`;
  return { machine: '_machinectl_machines', image: '_machinectl_images',
    'settings-of': "_alternative 'machines::_machinectl_machines' 'images::_machinectl_images' 'files::_files'",
    'host-path': '_files', host: '_hosts', user: '_users', nothing: '' }[offer];
}

/** For _arguments: all spellings; options may be given again. */
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
