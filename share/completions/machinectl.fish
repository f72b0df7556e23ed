# fish completion for machinectl: made by scripts/completions.mjs

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
            printf '%s\n' $token
        else if test $token = --
            set ended 1
        else if contains -- $token -H --host -M --machine -p --property -P --kill-whom --kill-who -s --signal --uid -E --setenv -n --lines --max-addresses -o --output --runner --class --timeout --verify --format --json
            set pending 1
        end
    end
end

# Whether options are machinectl's: behind an argument of these verbs, another program's command line begins.
function __machinectl_reads_options
    set -l words (__machinectl_words)
    not contains -- "$words[1]" shell exec; or test (count $words) -le 2
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
        printf '%s\n' "$user$name"
    end
end

# An image's name may hold nearly everything: what follows it is cut off.
function __machinectl_images
    command machinectl (__machinectl_scope) list-images --no-legend --no-pager --full 2>/dev/null |
        string replace -r ' +(directory|subvolume|raw|block|mstack) +(yes|no) .*' ''
end

complete -c machinectl -f

complete -c machinectl -n __machinectl_needs_verb -a list -d 'List running VMs and containers'
complete -c machinectl -n __machinectl_needs_verb -a status -d 'Show VM/container details'
complete -c machinectl -n __machinectl_needs_verb -a show -d 'Show properties of one or more VMs/containers'
complete -c machinectl -n __machinectl_needs_verb -a start -d 'Start container as a service'
complete -c machinectl -n __machinectl_needs_verb -a login -d 'Get a login prompt in a container or on the local host'
complete -c machinectl -n __machinectl_needs_verb -a shell -d 'Invoke a shell (or other command) in a container or on the local host'
complete -c machinectl -n __machinectl_needs_verb -a enable -d 'Enable automatic container start at boot'
complete -c machinectl -n __machinectl_needs_verb -a disable -d 'Disable automatic container start at boot'
complete -c machinectl -n __machinectl_needs_verb -a poweroff -d 'Power off one or more machines'
complete -c machinectl -n __machinectl_needs_verb -a reboot -d 'Reboot one or more machines'
complete -c machinectl -n __machinectl_needs_verb -a pause -d 'Pause one or more machines'
complete -c machinectl -n __machinectl_needs_verb -a resume -d 'Resume one or more paused machines'
complete -c machinectl -n __machinectl_needs_verb -a terminate -d 'Terminate one or more machines'
complete -c machinectl -n __machinectl_needs_verb -a kill -d 'Send signal to processes of a machine'
complete -c machinectl -n __machinectl_needs_verb -a copy-to -d 'Copy files from the host to a container'
complete -c machinectl -n __machinectl_needs_verb -a copy-from -d 'Copy files from a container to the host'
complete -c machinectl -n __machinectl_needs_verb -a bind -d 'Bind mount a path from the host into a container'
complete -c machinectl -n __machinectl_needs_verb -a list-images -d 'Show available container and VM images'
complete -c machinectl -n __machinectl_needs_verb -a image-status -d 'Show image details'
complete -c machinectl -n __machinectl_needs_verb -a show-image -d 'Show properties of image'
complete -c machinectl -n __machinectl_needs_verb -a edit -d 'Edit settings of one or more VMs/containers'
complete -c machinectl -n __machinectl_needs_verb -a cat -d 'Show settings of one or more VMs/containers'
complete -c machinectl -n __machinectl_needs_verb -a clone -d 'Clone an image'
complete -c machinectl -n __machinectl_needs_verb -a rename -d 'Rename an image'
complete -c machinectl -n __machinectl_needs_verb -a read-only -d 'Mark or unmark image read-only'
complete -c machinectl -n __machinectl_needs_verb -a remove -d 'Remove an image'
complete -c machinectl -n __machinectl_needs_verb -a set-limit -d 'Set image or pool size limit (disk quota)'
complete -c machinectl -n __machinectl_needs_verb -a clean -d 'Remove hidden (or all) images'
complete -c machinectl -n __machinectl_needs_verb -a bind-volume -d 'Attach a volume to a running machine'
complete -c machinectl -n __machinectl_needs_verb -a unbind-volume -d 'Detach a volume from a running machine'
complete -c machinectl -n __machinectl_needs_verb -a import-tar -d 'Handed on to importctl'
complete -c machinectl -n __machinectl_needs_verb -a import-raw -d 'Handed on to importctl'
complete -c machinectl -n __machinectl_needs_verb -a import-fs -d 'Handed on to importctl'
complete -c machinectl -n __machinectl_needs_verb -a export-tar -d 'Handed on to importctl'
complete -c machinectl -n __machinectl_needs_verb -a export-raw -d 'Handed on to importctl'
complete -c machinectl -n __machinectl_needs_verb -a pull-tar -d 'Handed on to importctl'
complete -c machinectl -n __machinectl_needs_verb -a pull-raw -d 'Handed on to importctl'
complete -c machinectl -n __machinectl_needs_verb -a list-transfers -d 'Handed on to importctl'
complete -c machinectl -n __machinectl_needs_verb -a cancel-transfer -d 'Handed on to importctl'
complete -c machinectl -n __machinectl_needs_verb -a help -d 'Show the help'
complete -c machinectl -n __machinectl_needs_verb -a watch -d 'Show running VMs and containers as they come and go'
complete -c machinectl -n __machinectl_needs_verb -a top -d 'Show what machines use, the busiest first'
complete -c machinectl -n __machinectl_needs_verb -a events -d 'Print a line for each machine that comes or goes'
complete -c machinectl -n __machinectl_needs_verb -a wait -d 'Wait until a machine runs, is gone, or starts commands'
complete -c machinectl -n __machinectl_needs_verb -a register -d 'Register a process, and what is in its unit, as a machine'
complete -c machinectl -n __machinectl_needs_verb -a unregister -d 'Forget machines, which go on to run'
complete -c machinectl -n __machinectl_needs_verb -a exec -d 'Run a command without a terminal, and return its exit status'
complete -c machinectl -n __machinectl_needs_verb -a unbind -d 'Take away a bind mount that bind has made'

complete -c machinectl -n '__machinectl_at 0+ status show poweroff reboot pause resume terminate kill unregister' -a '(__machinectl_machines)'
complete -c machinectl -n '__machinectl_at 0+ start enable disable image-status show-image remove' -a '(__machinectl_images)'
complete -c machinectl -n '__machinectl_at 0 login shell exec' -a '(__machinectl_machines)'
complete -c machinectl -n '__machinectl_at 0 copy-to bind' -a '(__machinectl_machines)'
complete -c machinectl -n '__machinectl_at 1 copy-to bind' -F
complete -c machinectl -n '__machinectl_at 0 copy-from' -a '(__machinectl_machines)'
complete -c machinectl -n '__machinectl_at 2 copy-from' -F
complete -c machinectl -n '__machinectl_at 0+ edit cat' -F -a '(__machinectl_machines; __machinectl_images)'
complete -c machinectl -n '__machinectl_at 0 clone rename set-limit' -a '(__machinectl_images)'
complete -c machinectl -n '__machinectl_at 0 read-only' -a '(__machinectl_images)'
complete -c machinectl -n '__machinectl_at 1 read-only' -a 'yes no'
complete -c machinectl -n '__machinectl_at 0 bind-volume unbind-volume unbind' -a '(__machinectl_machines)'
complete -c machinectl -n '__machinectl_at 0 import-tar import-raw import-fs' -F
complete -c machinectl -n '__machinectl_at 0 export-tar export-raw' -a '(__machinectl_images)'
complete -c machinectl -n '__machinectl_at 1 export-tar export-raw' -F
complete -c machinectl -n '__machinectl_at 0 wait' -a '(__machinectl_machines)'
complete -c machinectl -n '__machinectl_at 1 wait' -a 'running gone answering'

complete -c machinectl -n __machinectl_reads_options -s h -l help -d 'Show this help'
complete -c machinectl -n __machinectl_reads_options -l version -d 'Show package version'
complete -c machinectl -n __machinectl_reads_options -s H -l host -x -a '(__fish_print_hostnames)' -d 'Operate on remote host'
complete -c machinectl -n __machinectl_reads_options -s M -l machine -x -a '(__machinectl_machines)' -d 'Operate on local container'
complete -c machinectl -n __machinectl_reads_options -l system -d 'Connect to system machine manager'
complete -c machinectl -n __machinectl_reads_options -l user -d 'Connect to user machine manager'
complete -c machinectl -n __machinectl_reads_options -l value -d 'When showing properties, only print the value'
complete -c machinectl -n __machinectl_reads_options -s p -l property -x -d 'Show only properties by this name'
complete -c machinectl -n __machinectl_reads_options -s P -x -d 'Equivalent to --value --property=NAME'
complete -c machinectl -n __machinectl_reads_options -s a -l all -d 'Show all properties, including empty ones'
complete -c machinectl -n __machinectl_reads_options -s l -l full -d 'Do not ellipsize output'
complete -c machinectl -n __machinectl_reads_options -l kill-whom -x -a 'all leader supervisor' -d 'Whom to send signal to'
complete -c machinectl -n __machinectl_reads_options -s s -l signal -x -a 'SIGHUP SIGINT SIGQUIT SIGILL SIGTRAP SIGABRT SIGBUS SIGFPE SIGKILL SIGUSR1 SIGSEGV SIGUSR2 SIGPIPE SIGALRM SIGTERM SIGSTKFLT SIGCHLD SIGCONT SIGSTOP SIGTSTP SIGTTIN SIGTTOU SIGURG SIGXCPU SIGXFSZ SIGVTALRM SIGPROF SIGWINCH SIGIO SIGPWR SIGSYS SIGRTMIN' -d 'Which signal to send'
complete -c machinectl -n __machinectl_reads_options -l uid -x -a '(__fish_complete_users)' -d 'Specify user ID to invoke shell as'
complete -c machinectl -n __machinectl_reads_options -s E -l setenv -x -d 'Add an environment variable for shell'
complete -c machinectl -n __machinectl_reads_options -l read-only -d 'Create read-only bind mount or clone'
complete -c machinectl -n __machinectl_reads_options -l mkdir -d 'Create directory before bind mounting, if missing'
complete -c machinectl -n __machinectl_reads_options -s n -l lines -x -d 'Number of journal entries to show'
complete -c machinectl -n __machinectl_reads_options -l max-addresses -x -d 'Number of internet addresses to show at most'
complete -c machinectl -n __machinectl_reads_options -s o -l output -x -a 'short short-full short-iso short-iso-precise short-precise short-monotonic short-delta short-unix verbose export json json-pretty json-sse json-seq cat with-unit' -d 'Change journal output mode (short, short-precise, short-iso, short-iso-precise, short-full, short-monotonic, short-unix, short-delta, json, json-pretty, json-sse, json-seq, cat, verbose, export, with-unit)'
complete -c machinectl -n __machinectl_reads_options -l force -d 'Replace target file when copying, if necessary'
complete -c machinectl -n __machinectl_reads_options -l now -d 'Start or power off container after enabling or disabling it'
complete -c machinectl -n __machinectl_reads_options -l runner -x -a 'nspawn vmspawn' -d 'Select between nspawn and vmspawn as the runner'
complete -c machinectl -n __machinectl_reads_options -s V -d 'Short for --runner=vmspawn'
complete -c machinectl -n __machinectl_reads_options -l class -x -a 'container vm' -d 'What kind of machine to register (container, vm)'
complete -c machinectl -n __machinectl_reads_options -l timeout -x -d 'How long to wait at most'
complete -c machinectl -n __machinectl_reads_options -l no-pager -d 'Do not start a pager'
complete -c machinectl -n __machinectl_reads_options -l no-legend -d 'Do not show headers and footers'
complete -c machinectl -n __machinectl_reads_options -l no-ask-password -d 'Do not prompt for password'
complete -c machinectl -n __machinectl_reads_options -s q -l quiet -d 'Suppress output'
complete -c machinectl -n __machinectl_reads_options -l json -x -a 'short pretty off' -d 'Show output as JSON (short, pretty, off)'
complete -c machinectl -n __machinectl_reads_options -s j -d 'Same as --json=pretty on a terminal, --json=short elsewhere'
