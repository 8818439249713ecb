# Completions of qft for fish. The words come from qft itself at each Tab.
function __qft_complete
    set -l words (commandline --current-process --tokenize --cut-at-cursor)
    set -l token (commandline --current-token --cut-at-cursor)
    set -l program $words[1]
    command --query -- "$program"; or set program qft
    # A quote that is still open makes it no word yet.
    set -l current (string unescape -- "$token"; or string replace --regex '^[\'"]' '' -- "$token")
    set -l answer ($program __complete fish -- $words[2..] "$current" 2>/dev/null </dev/null)
    set -q answer[1]; or return
    printf '%s\n' $answer[2..]
    set -l native (string split ' ' -- $answer[1])
    set -l before (string sub --length $native[2] -- "$token")
    set -l path (string sub --start (math $native[2] + 1) -- "$token")
    set -l files
    switch $native[1]
        case files
            set files (__fish_complete_path "$path")
        case dirs
            set files (__fish_complete_directories "$path" '')
    end
    set -q files[1]; and printf '%s\n' "$before"$files
end
complete --command qft --no-files --arguments '(__qft_complete)'
