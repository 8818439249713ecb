# Completions of qft for bash 4.4 and later; they need nothing else. The words come from qft itself at each Tab.
_qft() {
    local program=${1/#\~\//$HOME/} answer
    type -P -- "$program" >/dev/null || program=qft
    mapfile -t answer < <("$program" __complete bash -- "${COMP_LINE:0:COMP_POINT}" "$2" 2>/dev/null </dev/null)
    COMPREPLY=("${answer[@]:1}")
    case ${answer[0]-} in
        '' | *files*) ;;
        *dirs*) compopt -o dirnames ;;
        *) compopt +o default +o bashdefault ;;
    esac
    [[ ${answer[0]-} != *nospace* ]] || compopt -o nospace
}
complete -o bashdefault -o default -F _qft qft
