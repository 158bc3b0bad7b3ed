//! Lines that people and agents write to look around.

use super::*;

/// One line each; nearly all have to be taken as they are.
const HONEST: &str = r#"
ls
ls -la
ls -lah src
ls -lhS --color=never src
ls -1 src/resource
ls -R src
ls --all --human-readable
ls -d .github
ls -lt | head -20
ls -la src/ tests/
ls src | wc -l
ls --sort=size --reverse
ls -ltr --time-style=long-iso
pwd
pwd && ls -la
cat README.md
cat -n src/main.rs
cat Cargo.toml Cargo.lock
cat -A Makefile
cat src/lib.rs | head -50
cat 'a file with spaces.txt'
cat "docs/design notes.md"
cat docs/über.md
cat a\ b.txt
cat -- -odd-name
cat ./-odd-name
head -n 20 src/main.rs
head -20 src/main.rs
head -c 100 data.bin
head -n -5 log.txt
head --lines=3 a b c
head -n1 Cargo.toml
tail -n 100 log.txt
tail -100 log.txt
tail -n +10 src/main.rs
tail -c 1K log.txt
tail -q -n 1 a.log b.log
wc -l src/main.rs
wc -lwc README.md
wc --lines a b
sort names.txt
sort -u names.txt
sort -t, -k2,2n data.csv
sort -rn
sort -k 3 -n -r data.txt
sort --field-separator=: --key=3n passwd.txt
sort names.txt | uniq -c | sort -rn | head
uniq -c names.txt
uniq -d names.txt
cut -d: -f1 passwd.txt
cut -d , -f 1,3 data.csv
cut -c1-10 file.txt
cut --delimiter=' ' --fields=2 x.txt
tr a-z A-Z
tr -d '\r'
tr -s ' '
tr '[:upper:]' '[:lower:]'
cat x.txt | tr -cd '[:alnum:]'
grep foo src/main.rs
grep -rn foo src
grep -rn 'fn main' src
grep -rni "todo" src --include='*.rs'
grep -E 'a|b' file.txt
grep -c error log.txt
grep -A3 -B3 panic log.txt
grep -C 2 panic log.txt
grep -5 panic log.txt
grep -v '^#' config.ini
grep -l foo -r .
grep -rL license src
grep -oE '[0-9]+' log.txt
grep -P '\d{3}' log.txt
grep -e foo -e bar file.txt
grep -F 'a*b' file.txt
grep -w main -n src/main.rs
grep -r foo . --exclude-dir=target
grep -rn "unwrap()" src | wc -l
grep -q foo file.txt && echo found || echo missing
grep -n ^fn src/main.rs
grep -- -v file.txt
grep --color=never -n foo file.txt
grep -rnI --exclude-dir=.git --exclude-dir=node_modules 'password' .
grep -hs foo a b
grep -m 1 version Cargo.toml
rg foo
rg -n foo src
rg -i 'todo|fixme' src
rg -t rust 'fn main'
rg -g '*.rs' unwrap
rg -l foo
rg --files
rg --files src
rg -c foo src
rg -A 3 -B 3 panic
rg --hidden -n foo
rg -uu foo
rg --json foo
rg -F 'a.b()' src
rg -e foo -e bar src
rg --type-list
rg -w -S main
rg -o '[0-9]+' --no-filename
rg foo -g '!target'
find .
find . -name '*.rs'
find . -type f -name "*.toml"
find src tests -name '*.rs' -type f
find . -maxdepth 2 -type d
find . -iname 'readme*'
find . -path ./target -prune -o -name '*.rs' -print
find . -not -path './.git/*' -type f
find . ! -name '*.o'
find . \( -name '*.c' -o -name '*.h' \) -print
find . -size +1M
find . -mtime -1 -type f
find . -newer Cargo.toml
find . -newermt 2026-01-01
find . -empty
find . -type l -ls
find . -printf '%s %p\n'
find . -type f -printf '%T@ %p\n' | sort -n | tail -5
find . -regex '.*\.rs$'
find . -type f -name '*.rs' | wc -l
find . -name '*.md' | sort | head -n 5
find . -perm -u+x -type f
find . -type f -print0
file target/app
file -b --mime-type logo.png
file -i a b
stat README.md
stat -c '%s %n' Cargo.lock
stat --format=%Y Cargo.lock
stat -f .
du -sh .
du -h --max-depth=1
du -d 1 -h src
du -a src | sort -n | tail
du -sh src target --exclude='*.o'
diff a.txt b.txt
diff -u a.txt b.txt
diff -ru old new
diff -qr old new
diff --unified=5 a b
diff -y -W 120 a b
diff -u --label old --label new a b
diff -w -B a b
cmp a.bin b.bin
cmp -s a b && echo same
sha256sum Cargo.lock
sha256sum a b c | sort
md5sum image.png
b2sum -l 256 a
base64 -d token.txt
base64 -w0 logo.png
base64 --decode x.b64 | head -c 64
nl -ba src/main.rs
nl src/main.rs | tail -3
tac log.txt | head -n 20
comm -12 a.sorted b.sorted
comm -3 a b
paste -d, a b
paste -sd+ numbers.txt
join -t, -1 1 -2 2 a.csv b.csv
fold -w 80 -s README.md
fold -80 README.md
expand -t 4 Makefile
od -c -N 64 data.bin
od -A x -t x1z data.bin
column -t -s, data.csv
column -t data.txt
jq . package.json
jq -r .name package.json
jq '.dependencies | keys' package.json
jq -r '.scripts | to_entries[] | "\(.key): \(.value)"' package.json
jq -c '.[] | select(.name == "env")' data.json
jq '.env.PATH' config.json
jq --arg n foo '.[] | select(.name == $n)' data.json
jq -n '[1,2]|add'
jq -s length a.json b.json
jq --indent 2 . a.json
cat a.json | jq '.items[0]'
basename src/main.rs .rs
basename -s .rs src/a.rs
dirname src/resource/git.rs
dirname /usr/lib/x
realpath src/../Cargo.toml
realpath --relative-to=src tests
readlink -f link
date
date -u +%Y-%m-%dT%H:%M:%SZ
date -d 'yesterday' +%F
date -r Cargo.toml
date --iso-8601=seconds
date -Is
seq 1 10
seq -s, 5
seq -5 5
true
false || echo no
test -f Cargo.toml && echo yes
test -d src || echo no
test -n abc
test 3 -gt 2
echo hello
echo 'a; b | c && d'
echo "it's $5" || true
echo done; ls
echo a=b
echo -n x
echo --- src; ls src
printf '%s\n' a b c
printf 'a\tb\n'
ls; pwd; date
cat a.txt | grep foo | sort | uniq -c | sort -rn | head -5
ls *.rs
wc -l src/*.rs
grep foo ~/.bashrc
cat x 2>/dev/null
ls -la # all of it
"#;

/// Of these there is a plain form, which the refusal names: patterns, home folders, redirections, comments.
/// They stay in the count.
#[test]
fn at_least_95_in_100_honest_lines_are_inspections() {
    let lines: Vec<&str> = HONEST.lines().filter(|line| !line.is_empty()).collect();
    let not_taken: Vec<String> = lines
        .iter()
        .filter_map(|line| match command(line) {
            Ok(read) if facts(&read, false).kind == "inspection" => None,
            Ok(_) => Some(format!("{line}: a script")),
            Err(refusal) => Some(format!("{line}: {}", refusal.message)),
        })
        .collect();
    let taken = lines.len() - not_taken.len();
    let figures = format!("{taken} of {} taken; not:\n{}", lines.len(), not_taken.join("\n"));
    println!("{figures}");
    assert!(lines.len() >= 200, "{figures}");
    assert!(taken * 100 >= lines.len() * 95, "{figures}");
}

/// What was taken runs as it was written, but for abbreviations, and the same words as an argv are taken too.
#[test]
fn an_honest_line_and_its_argv_are_the_same() {
    for line in HONEST.lines().filter(|line| !line.is_empty()) {
        let Ok(read) = command(line) else { continue };
        for words in words(&read) {
            let again: Vec<&str> = words.iter().map(String::as_str).collect();
            let alone = argv(&again).unwrap_or_else(|refusal| panic!("{line}: {}", refusal.message));
            assert_eq!(self::words(&alone), [words], "{line}");
        }
    }
}
