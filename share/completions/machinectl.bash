# bash completion for machinectl: made by scripts/completions.mjs

_machinectl_verbs='list status show start login shell enable disable poweroff reboot pause resume terminate kill copy-to copy-from bind list-images image-status show-image edit cat clone rename read-only remove set-limit clean bind-volume unbind-volume import-tar import-raw import-fs export-tar export-raw pull-tar pull-raw list-transfers cancel-transfer help watch top events wait register unregister exec unbind'
_machinectl_options='--help --version --host= --machine= --system --user --value --property= -P --all --full --kill-whom= --signal= --uid= --setenv= --read-only --mkdir --lines= --max-addresses= --output= --force --now --runner= -V --class= --timeout= --no-pager --no-legend --no-ask-password --quiet --json= -j'

# What an option's argument may be: nothing to be said of others than these; fails for options without an argument.
_machinectl_argument_of_option() {
    case $1 in
        -H | --host) echo 'host' ;;
        -M | --machine) echo 'machine' ;;
        -p | --property | -P | --kill-who | -E | --setenv | -n | --lines | --max-addresses | --timeout) echo '' ;;
        --kill-whom) echo '=all leader supervisor' ;;
        -s | --signal) echo '=SIGHUP SIGINT SIGQUIT SIGILL SIGTRAP SIGABRT SIGBUS SIGFPE SIGKILL SIGUSR1 SIGSEGV SIGUSR2 SIGPIPE SIGALRM SIGTERM SIGSTKFLT SIGCHLD SIGCONT SIGSTOP SIGTSTP SIGTTIN SIGTTOU SIGURG SIGXCPU SIGXFSZ SIGVTALRM SIGPROF SIGWINCH SIGIO SIGPWR SIGSYS SIGRTMIN' ;;
        --uid) echo 'user' ;;
        -o | --output) echo '=short short-full short-iso short-iso-precise short-precise short-monotonic short-delta short-unix verbose export json json-pretty json-sse json-seq cat with-unit' ;;
        --runner) echo '=nspawn vmspawn' ;;
        --class) echo '=container vm' ;;
        --verify) echo '=no checksum signature' ;;
        --format) echo '=uncompressed xz gzip bzip2 zstd' ;;
        --json) echo '=short pretty off' ;;
        *) return 1 ;;
    esac
}

# What each argument of a verb may be; the last one goes for all that follow.
_machinectl_arguments_of_verb() {
    case $1 in
        list | list-images | clean | watch | top | events) offers=('' '') ;;
        status | show | poweroff | reboot | pause | resume | terminate | kill | unregister) offers=('machine') ;;
        start | enable | disable | image-status | show-image | remove) offers=('image') ;;
        login | shell | exec) offers=('machine' '') ;;
        copy-to | bind) offers=('machine' 'host-path' '' '') ;;
        copy-from) offers=('machine' '' 'host-path' '') ;;
        edit | cat) offers=('settings-of') ;;
        clone | rename | set-limit) offers=('image' '' '') ;;
        read-only) offers=('image' '=yes no' '') ;;
        bind-volume | unbind-volume | unbind) offers=('machine' '' '') ;;
        import-tar | import-raw | import-fs) offers=('host-path' '') ;;
        export-tar | export-raw) offers=('image' 'host-path' '') ;;
        pull-tar | pull-raw | list-transfers | cancel-transfer | help | register) offers=('') ;;
        wait) offers=('machine' '=running gone answering' '') ;;
        *) offers=('') ;;
    esac
}

# Another program's command line begins after one argument of these.
_machinectl_runs_program() {
    [[ $1 == @(shell|exec) ]]
}

# An image's name may hold nearly everything: what follows it is cut off, and what the shell would take for its own is quoted.
_machinectl_names() {
    case $1 in
        machine) command machinectl "${scope[@]}" list --all --no-legend --no-pager --full 2>/dev/null | sed 's/ .*//' ;;
        image)
            command machinectl "${scope[@]}" list-images --no-legend --no-pager --full 2>/dev/null |
                sed -E 's/ +(directory|subvolume|raw|block|mstack) +(yes|no) .*//'
            ;;
        settings-of) _machinectl_names machine; _machinectl_names image ;;
        host) compgen -A hostname ;;
        user) compgen -u ;;
        =*) printf '%s\n' ${1#=} ;;
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
    for piece in "${COMP_WORDS[@]:0:COMP_CWORD+1}"; do
        if [[ ( -n $glue && -n $piece ) || ( ${#words[@]} -gt 1 && $piece == [=@:]* ) ]]; then words[-1]+=$piece; else words+=("$piece"); fi
        glue=''
        [[ $piece == *[=@:] ]] && glue=1
    done
    current=${words[-1]}
    typed=${COMP_WORDS[COMP_CWORD]}
    # what is offered takes the place of the last piece, and of an '@' before it
    [[ $typed == @ || ( -n $typed && ${COMP_WORDS[COMP_CWORD-1]} == @ ) ]] && lead=@
    [[ $typed == [=@:] ]] && typed=''

    for word in "${words[@]:1:${#words[@]}-2}"; do
        if [[ -n $pending ]]; then pending=''
        elif [[ -z $ended && $word == -- ]]; then ended=1
        elif [[ -z $ended && $word == -* ]]; then
            [[ $word == --user || $word == --system ]] && scope=("$word")
            _machinectl_argument_of_option "$word" >/dev/null && pending=$word
        elif [[ -z $verb ]]; then verb=$word
        else
            arguments+=("$word")
            _machinectl_runs_program "$verb" && (( ${#arguments[@]} > 1 )) && ended=1
        fi
    done

    if [[ -n $pending ]]; then
        _machinectl_offer "$(_machinectl_argument_of_option "$pending")" "$typed"
    elif [[ -z $ended && $current == --*=* ]]; then
        _machinectl_offer "$(_machinectl_argument_of_option "${current%%=*}")" "$typed"
    elif [[ -z $ended && $current == -* ]]; then
        _machinectl_offer "=$_machinectl_options" "$typed"
        [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
    elif [[ -z $verb ]]; then
        _machinectl_offer "=$_machinectl_verbs" "$typed"
    else
        _machinectl_arguments_of_verb "$verb"
        local place=${#arguments[@]}
        _machinectl_offer "${offers[place < ${#offers[@]} ? place : ${#offers[@]} - 1]}" "$typed"
    fi
    return 0
}

complete -F _machinectl machinectl
