// Completions for fish: complete(1) of fish.
import { completions, optionsWithArgument, verbsByOffers, type Offer, type OptionCompletion } from './model.js';

export function fishCompletion(): string {
  const { verbs, options } = completions();
  const program = verbs.filter(({ argumentsBeforeCommand }) => argumentsBeforeCommand !== undefined);
  return `# fish completion for machinectl: made by scripts/completions.mjs

# The words before the cursor that are no options and no arguments of options: the verb and its arguments.
function __machinectl_words
    set -l pending
    set -l ended
    set -l tokens (commandline -opc)
    set -e tokens[1]
    for token in $tokens
        if test -n "$pending"
            set pending
        else if test -n "$ended"; or not string match -q -- '-*' $token
            printf '%s\\n' $token
        else if test $token = --
            set ended 1
        else if contains -- $token ${optionsWithArgument(options).join(' ')}
            set pending 1
        end
    end
end

# Whether options are machinectl's: behind an argument of these verbs, another program's command line begins.
function __machinectl_reads_options
    set -l words (__machinectl_words)
    not contains -- "$words[1]" ${program.map(({ name }) => name).join(' ')}; or test (count $words) -le 2
end

# Whether so many arguments ('+': that many or more) of one of these verbs stand before the cursor.
function __machinectl_at
    set -l place $argv[1]
    set -l verbs $argv[2..]
    set -l words (__machinectl_words)
    contains -- "$words[1]" $verbs; or return 1
    set -l arguments (math (count $words) - 1)
    if string match -q -- '*+' $place
        test $arguments -ge (string trim -r -c + -- $place)
    else
        test $arguments -eq $place
    end
end

function __machinectl_needs_verb
    test (count (__machinectl_words)) -eq 0
end

function __machinectl_scope
    contains -- --user (commandline -opc); and echo -- --user
end

# A machine may be preceded by a user.
function __machinectl_machines
    set -l user (commandline -ct | string match -r '^[^@]*@')
    for name in (command machinectl (__machinectl_scope) list --all --no-legend --no-pager --full 2>/dev/null | string replace -r ' .*' '')
        printf '%s\\n' "$user$name"
    end
end

# An image's name may hold nearly everything: what follows it is cut off.
function __machinectl_images
    command machinectl (__machinectl_scope) list-images --no-legend --no-pager --full 2>/dev/null |
        string replace -r ' +(directory|subvolume|raw|block|mstack) +(yes|no) .*' ''
end

complete -c machinectl -f

${verbs.map(({ name, summary }) => `complete -c machinectl -n __machinectl_needs_verb -a ${name} -d ${quote(summary)}`).join('\n')}

${verbsByOffers(verbs).flatMap(({ names, offers }) => offers.flatMap((offer, index) => argumentLine(names, offer, index, index === offers.length - 1))).join('\n')}

${options.flatMap(optionLine).join('\n')}
`;
}

function argumentLine(names: readonly string[], offer: Offer, place: number, isLast: boolean): readonly string[] {
  const words = offerFlags(offer);
  if (words === '') return [];
  return [`complete -c machinectl -n '__machinectl_at ${place}${isLast ? '+' : ''} ${names.join(' ')}' ${words}`];
}

function optionLine({ short, long, summary, offer }: OptionCompletion): readonly string[] {
  if (summary === '') return [];
  const name = [...(short === undefined ? [] : [`-s ${short}`]), ...(long === undefined ? [] : [`-l ${long}`])].join(' ');
  const takes = offer === undefined ? '' : ` -x ${offerFlags(offer)}`.trimEnd();
  return [`complete -c machinectl -n __machinectl_reads_options ${name}${takes} -d ${quote(summary)}`];
}

function offerFlags(offer: Offer): string {
  if (typeof offer !== 'string') return `-a ${quote(offer.join(' '))}`;
  return { machine: "-a '(__machinectl_machines)'", image: "-a '(__machinectl_images)'", 'settings-of': "-F -a '(__machinectl_machines; __machinectl_images)'",
    'host-path': '-F', host: "-a '(__fish_print_hostnames)'", user: "-a '(__fish_complete_users)'", nothing: '' }[offer];
}

/** In fish, a backslash and a quote are all that is special between single quotes. */
function quote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
