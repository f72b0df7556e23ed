// Completions for bash, with what it brings itself: the package bash-completion is not needed. bash(1), "Programmable Completion".
import { completions, verbsByOffers, type Offer, type OptionCompletion } from './model.js';

export function bashCompletion(): string {
  const { verbs, options } = completions();
  const program = verbs.filter(({ argumentsBeforeCommand }) => argumentsBeforeCommand !== undefined);
  return `# bash completion for machinectl: made by scripts/completions.mjs

_machinectl_verbs='${verbs.map(({ name }) => name).join(' ')}'
_machinectl_options='${options.flatMap(spelledOut).join(' ')}'

# What an option's argument may be: nothing to be said of others than these; fails for options without an argument.
_machinectl_argument_of_option() {
    case $1 in
${caseBranches(optionGroups(options))}
        *) return 1 ;;
    esac
}

# What each argument of a verb may be; the last one goes for all that follow.
_machinectl_arguments_of_verb() {
    case $1 in
${caseBranches(verbsByOffers(verbs).map(({ names, offers }) => ({ names, value: offers.map((offer) => `'${offerWord(offer)}'`).join(' ') })))}
        *) offers=('') ;;
    esac
}

# Another program's command line begins after one argument of these.
_machinectl_runs_program() {
    [[ $1 == @(${program.map(({ name }) => name).join('|')}) ]]
}

${functions}`;
}

/** What reads the line and looks into the tables. */
const functions = `# An image's name may hold nearly everything: what follows it is cut off, and what the shell would take for its own is quoted.
_machinectl_names() {
    case $1 in
        machine) command machinectl "\${scope[@]}" list --all --no-legend --no-pager --full 2>/dev/null | sed 's/ .*//' ;;
        image)
            command machinectl "\${scope[@]}" list-images --no-legend --no-pager --full 2>/dev/null |
                sed -E 's/ +(directory|subvolume|raw|block|mstack) +(yes|no) .*//'
            ;;
        settings-of) _machinectl_names machine; _machinectl_names image ;;
        host) compgen -A hostname ;;
        user) compgen -u ;;
        =*) printf '%s\\n' \${1#=} ;;
    esac
}

_machinectl_offer() {
    local name
    if [[ $1 == host-path ]]; then
        mapfile -t COMPREPLY < <(compgen -f -- "$2")
        compopt -o filenames 2>/dev/null
        return
    fi
    while IFS= read -r name; do
        printf -v name %q "$name"
        [[ $name == "$2"* ]] && COMPREPLY+=("$lead$name")
    done < <(_machinectl_names "$1" | sort -u)
    if [[ $1 == settings-of && -n $2 ]]; then
        while IFS= read -r name; do
            printf -v name %q "$name"
            COMPREPLY+=("$name")
        done < <(compgen -f -- "$2")
    fi
}

_machinectl() {
    local -a words=() arguments=() offers=() scope=()
    local word piece glue='' verb='' pending='' ended='' lead='' current typed
    COMPREPLY=()

    # bash breaks words at '=', '@' and ':', too; an empty one is a new word even then
    for piece in "\${COMP_WORDS[@]:0:COMP_CWORD+1}"; do
        if [[ ( -n $glue && -n $piece ) || ( \${#words[@]} -gt 1 && $piece == [=@:]* ) ]]; then words[-1]+=$piece; else words+=("$piece"); fi
        glue=''
        [[ $piece == *[=@:] ]] && glue=1
    done
    current=\${words[-1]}
    typed=\${COMP_WORDS[COMP_CWORD]}
    # what is offered takes the place of the last piece, and of an '@' before it
    [[ $typed == @ || ( -n $typed && \${COMP_WORDS[COMP_CWORD-1]} == @ ) ]] && lead=@
    [[ $typed == [=@:] ]] && typed=''

    for word in "\${words[@]:1:\${#words[@]}-2}"; do
        if [[ -n $pending ]]; then pending=''
        elif [[ -z $ended && $word == -- ]]; then ended=1
        elif [[ -z $ended && $word == -* ]]; then
            [[ $word == --user || $word == --system ]] && scope=("$word")
            _machinectl_argument_of_option "$word" >/dev/null && pending=$word
        elif [[ -z $verb ]]; then verb=$word
        else
            arguments+=("$word")
            _machinectl_runs_program "$verb" && (( \${#arguments[@]} > 1 )) && ended=1
        fi
    done

    if [[ -n $pending ]]; then
        _machinectl_offer "$(_machinectl_argument_of_option "$pending")" "$typed"
    elif [[ -z $ended && $current == --*=* ]]; then
        _machinectl_offer "$(_machinectl_argument_of_option "\${current%%=*}")" "$typed"
    elif [[ -z $ended && $current == -* ]]; then
        _machinectl_offer "=$_machinectl_options" "$typed"
        [[ \${#COMPREPLY[@]} == 1 && \${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
    elif [[ -z $verb ]]; then
        _machinectl_offer "=$_machinectl_verbs" "$typed"
    else
        _machinectl_arguments_of_verb "$verb"
        local place=\${#arguments[@]}
        _machinectl_offer "\${offers[place < \${#offers[@]} ? place : \${#offers[@]} - 1]}" "$typed"
    fi
    return 0
}

complete -F _machinectl machinectl
`;

interface Branch {
  readonly names: readonly string[];
  readonly value: string;
}

function caseBranches(branches: readonly Branch[]): string {
  return branches.map(({ names, value }) => `        ${names.join(' | ')}) ${value.startsWith("'") ? `offers=(${value})` : value} ;;`).join('\n');
}

/** Options that take the same arguments, together. */
function optionGroups(options: readonly OptionCompletion[]): readonly Branch[] {
  const groups = new Map<string, string[]>();
  for (const { short, long, offer } of options) {
    if (offer === undefined) continue;
    const value = `echo '${offerWord(offer)}'`;
    const names = groups.get(value) ?? [];
    groups.set(value, [...names, ...(short === undefined ? [] : [`-${short}`]), ...(long === undefined ? [] : [`--${long}`])]);
  }
  return [...groups].map(([value, names]) => ({ names, value }));
}

/** An option as it is offered: '--all', '--lines=', '-P' if that is all. */
function spelledOut({ short, long, summary, offer }: OptionCompletion): readonly string[] {
  if (summary === '') return [];
  if (long === undefined) return [`-${short ?? ''}`];
  return [`--${long}${offer === undefined ? '' : '='}`];
}

/** As the functions above take it: a kind of names, nothing, or '=' and the words. */
function offerWord(offer: Offer): string {
  if (typeof offer !== 'string') return `=${offer.join(' ')}`;
  return offer === 'nothing' ? '' : offer;
}
