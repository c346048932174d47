"""Completion scripts of bash, zsh and fish: tables of words, and one function that looks them up."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Table = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Tables:
    """Words by path, such as ``keras_seq.train`` or ``tuning best``.

    Attributes:
        short: full name of a command by what ``python -m keras_seq`` and ``keras-seq`` call it.
        options: ``--name``.
        keys: ``--section.field``.
        first: values of arguments without a name.
        actions: words of which one comes first.
        values: of an option by ``PATH --name``, of a field by ``--section.field``.
    """

    short: Mapping[str, str]
    options: Table
    keys: Table
    first: Table
    actions: Table
    values: Table


# The lookup is the same in all three: find the command, then its action; a value where the word before is an option
# that takes one; options and, section by section, fields behind '--'; else actions and files.
BASH = r"""
_keras_seq_reply() {  # words on one line: those that begin with $cur
    local one
    case " $1 " in
        *" @file "*) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        *" @open "*) return ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur")
    one="${COMPREPLY[0]}"
    [[ ${#COMPREPLY[@]} -eq 1 && $one == *. ]] && compopt -o nospace 2>/dev/null
    return 0
}

_keras_seq_behind() {  # $1: the command; $2: number of its first word in COMP_WORDS
    local path="$1" cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD-1]}" i word key stem found=""
    if [[ $cur == "=" ]]; then cur=""; elif [[ $prev == "=" ]]; then prev="${COMP_WORDS[COMP_CWORD-2]}"; fi
    if [[ $path == keras_seq ]]; then
        if (( COMP_CWORD == $2 )) && [[ $cur != -* ]]; then _keras_seq_reply "${!_keras_seq_short[*]}"; return; fi
        if (( COMP_CWORD > $2 )) && [[ -n ${_keras_seq_short[${COMP_WORDS[$2]}]:-} ]]; then
            _keras_seq_behind "${_keras_seq_short[${COMP_WORDS[$2]}]}" $(( $2 + 1 )); return
        fi
    fi
    if [[ -n ${_keras_seq_actions[$path]:-} ]]; then
        for (( i = $2; i < COMP_CWORD; i++ )); do
            word="${COMP_WORDS[i]}"
            if [[ " ${_keras_seq_actions[$path]} " == *" $word "* ]]; then found="$word"; break; fi
        done
    fi
    local whole="$path${found:+ $found}"
    if [[ $prev == --* ]]; then
        word="${_keras_seq_values[$whole $prev]:-${_keras_seq_values[$path $prev]:-}}"
        [[ -z $word && " ${_keras_seq_keys[$whole]:-} " == *" $prev "* ]] && word="${_keras_seq_values[$prev]:-}"
        if [[ -n $word && $cur != --* ]]; then _keras_seq_reply "$word"; return; fi
    fi
    if [[ $cur == --*.* ]]; then
        _keras_seq_reply "${_keras_seq_keys[$whole]:-}"
    elif [[ $cur == -* ]]; then
        word="${_keras_seq_options[$whole]:-}"
        for key in ${_keras_seq_keys[$whole]:-}; do
            stem="${key%%.*}"
            [[ $stem != "$key" ]] && stem="$stem."
            [[ " $word " == *" $stem "* ]] || word="$word $stem"
        done
        _keras_seq_reply "$word"
    elif [[ -n ${_keras_seq_actions[$path]:-} && -z $found ]]; then
        _keras_seq_reply "${_keras_seq_actions[$path]}"
    else
        _keras_seq_reply "${_keras_seq_first[$whole]:-}"
    fi
}

_keras_seq_python() {  # python -m COMMAND ...; anything else goes where it went before
    local i name
    COMPREPLY=()
    for (( i = 1; i < COMP_CWORD; i++ )); do
        [[ ${COMP_WORDS[i]} == -m ]] || continue
        name="${COMP_WORDS[i+1]}"
        if (( i + 1 == COMP_CWORD )); then
            local cur="$name"
            _keras_seq_reply "keras_seq ${_keras_seq_short[*]}"
            [[ ${#COMPREPLY[@]} -gt 0 ]] && return
        elif [[ $name == keras_seq || -n ${_keras_seq_options[$name]:-} ]]; then
            _keras_seq_behind "$name" $(( i + 2 )); return
        fi
        break
    done
    if [[ -n ${_keras_seq_before:-} ]]; then "$_keras_seq_before" "$@"
    else compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]}"); fi
}

_keras_seq_script() { COMPREPLY=(); _keras_seq_behind keras_seq 1; }

declare -F _completion_loader >/dev/null && _completion_loader python 2>/dev/null
_keras_seq_before="$(complete -p python 2>/dev/null | sed -n 's/.*-F \([^ ]*\) .*/\1/p')"
[[ $_keras_seq_before == _keras_seq_python ]] && _keras_seq_before=""
complete -F _keras_seq_python python python3
complete -F _keras_seq_script keras-seq
"""

ZSH = r"""
_keras_seq_reply() {
    local -a all=(${=1}) stems
    case " $1 " in
        *" @file "*) _files; return ;;
        *" @open "*) return 1 ;;
    esac
    stems=(${(M)all:#*.}) all=(${all:#*.})
    (( $#stems )) && compadd -S '' -a stems
    (( $#all )) && compadd -a all
}

_keras_seq_behind() {  # $1: the command; $2: number of its first word in words
    local path_="$1" cur="$words[CURRENT]" prev="$words[CURRENT-1]" word key stem found="" i
    if [[ $cur == --*=* ]]; then prev="${cur%%=*}"; compset -P '*='; cur="${cur#*=}"; fi
    if [[ $path_ == keras_seq ]]; then
        if (( CURRENT == $2 )) && [[ $cur != -* ]]; then _keras_seq_reply "${(k)_keras_seq_short}"; return; fi
        if (( CURRENT > $2 )) && [[ -n ${_keras_seq_short[$words[$2]]} ]]; then
            _keras_seq_behind "${_keras_seq_short[$words[$2]]}" $(( $2 + 1 )); return
        fi
    fi
    for (( i = $2; i < CURRENT; i++ )); do
        if [[ " ${_keras_seq_actions[$path_]} " == *" $words[i] "* ]]; then found="$words[i]"; break; fi
    done
    local whole="$path_${found:+ $found}"
    if [[ $prev == --* ]]; then
        word="${_keras_seq_values[$whole $prev]:-${_keras_seq_values[$path_ $prev]}}"
        [[ -z $word && " ${_keras_seq_keys[$whole]} " == *" $prev "* ]] && word="${_keras_seq_values[$prev]}"
        if [[ -n $word && $cur != --* ]]; then _keras_seq_reply "$word"; return; fi
    fi
    if [[ $cur == --*.* ]]; then
        _keras_seq_reply "${_keras_seq_keys[$whole]}"
    elif [[ $cur == -* ]]; then
        word="${_keras_seq_options[$whole]}"
        for key in ${=_keras_seq_keys[$whole]}; do
            stem="${key%%.*}"
            [[ $stem != "$key" ]] && stem="$stem."
            [[ " $word " == *" $stem "* ]] || word="$word $stem"
        done
        _keras_seq_reply "$word"
    elif [[ -n ${_keras_seq_actions[$path_]} && -z $found ]]; then
        _keras_seq_reply "${_keras_seq_actions[$path_]}"
    else
        _keras_seq_reply "${_keras_seq_first[$whole]:-@open}"
    fi
}

_keras_seq_python() {
    local i name
    for (( i = 2; i < CURRENT; i++ )); do
        [[ $words[i] == -m ]] || continue
        name="$words[i+1]"
        if (( i + 1 == CURRENT )); then
            _keras_seq_reply "keras_seq ${(v)_keras_seq_short}"
        elif [[ $name == keras_seq || -n ${_keras_seq_options[$name]} ]]; then
            _keras_seq_behind "$name" $(( i + 2 )); return
        fi
        break
    done
    if (( $+functions[_python] )) || autoload -Uz +X _python 2>/dev/null; then _python "$@"; else _files; fi
}

_keras_seq_script() { _keras_seq_behind keras_seq 2; }

compdef _keras_seq_python python python3
compdef _keras_seq_script keras-seq
"""

FISH = r"""
function __keras_seq_words
    set -l words (commandline -opc)
    set -l cur (commandline -ct)
    set -l start 3
    set -l path
    if string match -q -- '*python*' $words[1]
        set -l at (contains -i -- -m $words); or return 1
        set start (math $at + 2)
        if test (count $words) -eq $at
            echo keras_seq; __keras_seq_table command | string split ' '
            return 0
        end
        set path $words[(math $at + 1)]
    else
        set path keras_seq
        set start 2
    end
    contains -- $path keras_seq (__keras_seq_table command | string split ' '); or return 1
    if test $path = keras_seq -a (count $words) -lt $start; and not string match -q -- '-*' $cur
        __keras_seq_table word | string split ' '
        return 0
    end
    if test $path = keras_seq -a (count $words) -ge $start
        set -l full (__keras_seq_table "short $words[$start]")
        test -n "$full"; and set path $full; and set start (math $start + 1)
    end
    set -l whole $path
    set -l actions (__keras_seq_table "actions $path" | string split ' ')
    set -l chosen
    for word in $words[$start..-1]
        if contains -- $word $actions
            set chosen $word
            set whole "$path $word"
            break
        end
    end
    set -l keys (__keras_seq_table "keys $whole" | string split ' ')
    set -l prev $words[-1]
    if string match -q -- '--*=*' $cur
        set prev (string split -m 1 = -- $cur)[1]
        set -l head "$prev="
        for value in (__keras_seq_values $path $whole $prev $keys)
            test $value = @file -o $value = @open; or echo $head$value
        end
        return 0
    end
    if string match -q -- '--*' $prev; and not string match -q -- '--*' $cur
        set -l values (__keras_seq_values $path $whole $prev $keys)
        if test -n "$values"
            __keras_seq_reply $values
            return 0
        end
    end
    if string match -q -- '--*.*' $cur
        printf '%s\n' $keys
    else if string match -q -- '-*' $cur
        __keras_seq_table "options $whole" | string split ' '
        for key in $keys
            string match -q -- '*.*' $key; and echo (string split -m 1 . -- $key)[1].; or echo $key
        end | sort -u
    else if test -n "$actions" -a -z "$chosen"
        printf '%s\n' $actions
    else
        __keras_seq_reply (__keras_seq_table "first $whole" | string split ' ')
    end
end

function __keras_seq_values -a path whole option
    set -l found (__keras_seq_table "values $whole $option")
    test -n "$found"; or set found (__keras_seq_table "values $path $option")
    test -z "$found"; and contains -- $option $argv[4..-1]; and set found (__keras_seq_table "values $option")
    string split ' ' -- $found
end

function __keras_seq_reply
    if contains -- @file $argv
        __fish_complete_path (commandline -ct)
    else if not contains -- @open $argv
        printf '%s\n' $argv
    end
end

function __keras_seq_here
    __keras_seq_words >/dev/null
end

for name in python python3 keras-seq
    complete -c $name -n __keras_seq_here -f -a '(__keras_seq_words)'
end
"""


def bash(tables: Tables) -> str:
    """The script of bash (4 or later)."""
    parts = ["# Completion of keras_seq for bash: source <(python -m keras_seq completion bash)"]
    parts += [f"declare -gA _keras_seq_{name}=(\n{_lines(table)}\n)" for name, table in _tables(tables)]
    return "\n".join(parts) + BASH


def zsh(tables: Tables) -> str:
    """The script of zsh; compinit must have been run."""
    parts = ["# Completion of keras_seq for zsh: source <(python -m keras_seq completion zsh)"]
    parts += [f"typeset -gA _keras_seq_{name}=(\n{_lines(table)}\n)" for name, table in _tables(tables)]
    return "\n".join(parts) + ZSH


def fish(tables: Tables) -> str:
    """The script of fish."""
    lines = ["# Completion of keras_seq for fish: python -m keras_seq completion fish | source"]
    lines += ["function __keras_seq_table", "    switch $argv[1]"]
    cases = {f"{name} {key}": words for name, table in _tables(tables) for key, words in table.items()}
    cases |= {"command": " ".join(tables.short.values()), "word": " ".join(tables.short)}
    for key, words in cases.items():
        lines += [f"        case {_fish(key)}", f"            echo -- {_fish(words)}"]
    return "\n".join([*lines, "    end", "end"]) + FISH


def _tables(tables: Tables) -> Iterable[tuple[str, Mapping[str, str]]]:
    """The tables by name, with words on one line; what nobody can list has no entry."""
    yield "short", tables.short
    for name in ("options", "keys", "first", "actions", "values"):
        table: Table = getattr(tables, name)
        yield name, {key: " ".join(words) for key, words in table.items() if words}


def _lines(table: Mapping[str, str]) -> str:
    return "\n".join(f"    [{shlex.quote(key)}]={shlex.quote(words)}" for key, words in table.items())


def _fish(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
