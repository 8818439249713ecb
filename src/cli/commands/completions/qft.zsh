#compdef qft
# Completions of qft for zsh. The words come from qft itself at each Tab.
_qft() {
    local program=${words[1]/#\~\//$HOME/} value about
    local -a answer native options open closed spoken
    (( $+commands[$program] )) || [[ -x $program ]] || program=qft
    answer=("${(@0)$("$program" __complete zsh -- "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null </dev/null)}")
    native=(${=answer[1]})
    shift answer
    for value about in "${(@)answer}"; do
        if [[ -z $value ]]; then
            continue
        elif [[ $value == *[/:=] ]]; then
            open+=("$value")
        elif [[ -n $about ]]; then
            spoken+=("${${value//\\/\\\\}//:/\\:}:$about")
        else
            closed+=("$value")
        fi
    done
    (( $#spoken )) && _describe -V 'qft' spoken
    (( $#open )) && compadd -S '' -- "${(@)open}"
    (( $#closed )) && compadd -- "${(@)closed}"
    case $native[1] in
        files) compset -p $native[2]; _files ;;
        dirs) compset -p $native[2]; _files -/ ;;
    esac
}
if [[ $funcstack[1] == _qft ]]; then
    _qft "$@"
else
    # Sourced, perhaps before anything else has started zsh's completions.
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
    compdef _qft qft
fi
