"""Completion in bash and fish of words that the shell would take apart; zsh quotes them itself.

click's own scripts insert a name as it is: `My app` would be two words. Imported when the shell asks alone.
"""

from __future__ import annotations

from click import shell_completion

_BASH = """\
%(complete_func)s() {
    local IFS=$'\\n' line value
    while read -r line; do
        value=${line#*,}
        case ${line%%%%,*} in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain)
                # Within quotes the word goes on as it is.
                [[ ${COMP_WORDS[COMP_CWORD]} == [\\"\\']* ]] || printf -v value %%q "$value"
                COMPREPLY+=("$value")
                ;;
        esac
    done <<< "$(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD %(complete_var)s=bash_complete "$1")"
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class BashComplete(shell_completion.BashComplete):
    """The words quoted, unless what is typed begins with a quote."""

    source_template = _BASH


class FishComplete(shell_completion.FishComplete):
    """Words with commas in them whole; fish quotes them itself."""

    source_template = shell_completion.FishComplete.source_template.replace(
        'string split ","', 'string split --max 1 ","'
    )


def register() -> None:
    """Have click use them."""
    shell_completion.add_completion_class(BashComplete)
    shell_completion.add_completion_class(FishComplete)
