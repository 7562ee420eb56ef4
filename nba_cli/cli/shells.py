"""What each shell has to know: it asks `nba completion query` for the words that fit the line up to the cursor.

A word that ends in "=", "." or "/" goes on, so no space follows it.
"""

BASH = r"""_nba() {
  local line="${COMP_LINE:0:$COMP_POINT}" typed mark marks="" head="" word
  # bash replaces only what stands behind the last "=" or ":" of a word
  typed="${line//\\ /_}"; typed="${typed##* }"
  for mark in = :; do [[ $COMP_WORDBREAKS == *"$mark"* ]] && marks+="$mark"; done
  [[ -n $marks ]] && head="${typed%"${typed##*[$marks]}"}"
  COMPREPLY=()
  while IFS= read -r word; do
    word="${word#"$head"}"
    [[ $word == *[[:space:]\&\;\(\)\'\"\$\\]* ]] && printf -v word %q "$word"
    COMPREPLY+=("$word")
  done < <(COMP_LINE="$line" nba completion query 2>/dev/null)
  [[ ${COMPREPLY[0]} == *[=./] ]] && compopt -o nospace 2>/dev/null
}
complete -F _nba nba"""

ZSH = r"""(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
_nba() {
  local -a found
  found=("${(@f)$(COMP_LINE="${(j: :)words[1,CURRENT-1]} $PREFIX" nba completion query 2>/dev/null)}")
  compadd -S '' -- ${(M)found:#*[=./]}
  compadd -- ${found:#*[=./]}
}
compdef _nba nba"""

FISH = r"""complete -c nba -f -a '(COMP_LINE=(commandline -cp) nba completion query 2>/dev/null)'"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}
