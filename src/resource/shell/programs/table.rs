//! The programs whose arguments are understood: GNU coreutils 9, grep 3, diffutils 3, file 5, util-linux 2
//! and ripgrep 14, option by option from their manuals and sources.
//!
//! How an entry is written: names first, `-x,--long`; then `=` if it takes a text, `=/` a file that is read,
//! `=?` a value only when glued on; `!` and a word if it is not taken because it writes, runs, names (takes
//! what to read from a file), waits, follows links, reads devices or sets something. What a program offers
//! and the table lacks is refused like what no program has.

use super::options::Flag;

/// What the words are that belong to no option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operands {
    /// Every argument is data, options included.
    Anything,
    /// Data; nothing is opened.
    Text,
    /// There are none.
    None,
    /// Files that are read, at most so many.
    Files(usize),
    /// The same, where `+NUMBER` is an old form of an option.
    NotPlus(usize),
    /// A pattern, unless one of these options gave it, then files.
    PatternThenFiles(&'static [&'static str]),
    /// At most one, beginning with `+`.
    Format,
    /// An expression of `test`.
    Test,
}

/// One program of the table.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) name: &'static str,
    pub(super) operands: Operands,
    /// Whether digits stand in place of option letters, as in `head -20`.
    pub(super) counts: bool,
    /// Whether long options may be abbreviated (`getopt_long`).
    pub(super) abbreviates: bool,
    flags: &'static str,
}

impl Program {
    /// Its options, also those that are refused.
    pub(super) fn options(&self) -> impl Iterator<Item = Flag> + use<> {
        self.flags.split_ascii_whitespace().map(Flag::read)
    }
}

/// The entry of a program.
pub(super) fn program(name: &str) -> Option<&'static Program> {
    PROGRAMS.iter().find(|program| program.name == name)
}

/// Every entry.
#[cfg(test)]
pub(super) fn programs() -> &'static [Program] {
    PROGRAMS
}

const ANY: usize = usize::MAX;

const fn gnu(name: &'static str, operands: Operands, flags: &'static str) -> Program {
    Program {
        name,
        operands,
        counts: false,
        abbreviates: true,
        flags,
    }
}

const fn counting(name: &'static str, operands: Operands, flags: &'static str) -> Program {
    Program {
        name,
        operands,
        counts: true,
        abbreviates: true,
        flags,
    }
}

const SUMS: &str = "-b,--binary -c,--check!names --tag -t,--text -z,--zero --ignore-missing \
    --quiet --status --strict -w,--warn --help --version";

const B2SUM: &str = "-b,--binary -c,--check!names -l,--length= --tag -t,--text -z,--zero --ignore-missing \
    --quiet --status --strict -w,--warn --help --version";

const BASE: &str = "-d,--decode -i,--ignore-garbage -w,--wrap= --help --version";

static PROGRAMS: &[Program] = &[
    gnu("ls", Operands::Files(ANY), LS),
    gnu(
        "cat",
        Operands::Files(ANY),
        "-A,--show-all -b,--number-nonblank -e -E,--show-ends -n,--number \
        -s,--squeeze-blank -t -T,--show-tabs -u -v,--show-nonprinting --help --version",
    ),
    counting(
        "head",
        Operands::NotPlus(ANY),
        "-c,--bytes= -n,--lines= -q,--quiet,--silent -v,--verbose \
        -z,--zero-terminated --help --version",
    ),
    counting(
        "tail",
        Operands::NotPlus(ANY),
        "-c,--bytes= -f,--follow!waits -F!waits -n,--lines= \
        --max-unchanged-stats!waits --pid!waits -q,--quiet,--silent --retry!waits -s,--sleep-interval!waits \
        -v,--verbose -z,--zero-terminated --help --version",
    ),
    gnu(
        "wc",
        Operands::Files(ANY),
        "-c,--bytes -m,--chars -l,--lines --files0-from!names \
        -L,--max-line-length -w,--words --total= --debug --help --version",
    ),
    gnu("sort", Operands::NotPlus(ANY), SORT),
    counting(
        "uniq",
        Operands::NotPlus(1),
        "-c,--count -d,--repeated -D --all-repeated=? -f,--skip-fields= \
        --group=? -i,--ignore-case -s,--skip-chars= -u,--unique -z,--zero-terminated -w,--check-chars= \
        --help --version",
    ),
    gnu(
        "cut",
        Operands::Files(ANY),
        "-b,--bytes= -c,--characters= -d,--delimiter= -f,--fields= -n \
        --complement -s,--only-delimited --output-delimiter= -z,--zero-terminated --help --version",
    ),
    gnu(
        "tr",
        Operands::Text,
        "-c,-C,--complement -d,--delete -s,--squeeze-repeats -t,--truncate-set1 \
        --help --version",
    ),
    counting("grep", Operands::PatternThenFiles(&["-e"]), GREP),
    Program {
        name: "rg",
        operands: Operands::PatternThenFiles(&["-e", "--files", "--type-list"]),
        counts: false,
        abbreviates: false,
        flags: RG,
    },
    gnu(
        "file",
        Operands::Files(ANY),
        "--help -v,--version -m,--magic-file!names -z,--uncompress!runs \
        -Z,--uncompress-noreport!runs -b,--brief -c,--checking-printout -e,--exclude= --exclude-quiet= \
        -f,--files-from!names -F,--separator= -i,--mime --apple --extension --mime-type --mime-encoding \
        -k,--keep-going -l,--list -L,--dereference!follows -h,--no-dereference -n,--no-buffer -N,--no-pad \
        -0,--print0 -p,--preserve-date!writes -P,--parameter!sets -r,--raw -s,--special-files!devices \
        -S,--no-sandbox!sets -C,--compile!writes -d,--debug -E",
    ),
    gnu(
        "stat",
        Operands::Files(ANY),
        "-L,--dereference -f,--file-system --cached= -c,--format= --printf= \
        -t,--terse --help --version",
    ),
    gnu(
        "du",
        Operands::Files(ANY),
        "-0,--null -a,--all --apparent-size -B,--block-size= -b,--bytes \
        -c,--total -D,--dereference-args!follows -d,--max-depth= --files0-from!names -H!follows \
        -h,--human-readable --inodes -k -L,--dereference!follows -l,--count-links -m -P,--no-dereference \
        -S,--separate-dirs --si -s,--summarize -t,--threshold= --time=? --time-style= \
        -X,--exclude-from=/ --exclude= -x,--one-file-system --help --version",
    ),
    counting("diff", Operands::Files(2), DIFF),
    gnu(
        "cmp",
        Operands::Files(4),
        "-b,--print-bytes -i,--ignore-initial= -l,--verbose -n,--bytes= \
        -s,--quiet,--silent --help -v,--version",
    ),
    gnu("md5sum", Operands::Files(ANY), SUMS),
    gnu("sha1sum", Operands::Files(ANY), SUMS),
    gnu("sha224sum", Operands::Files(ANY), SUMS),
    gnu("sha256sum", Operands::Files(ANY), SUMS),
    gnu("sha384sum", Operands::Files(ANY), SUMS),
    gnu("sha512sum", Operands::Files(ANY), SUMS),
    gnu("b2sum", Operands::Files(ANY), B2SUM),
    gnu("base64", Operands::Files(1), BASE),
    gnu("base32", Operands::Files(1), BASE),
    gnu(
        "nl",
        Operands::Files(ANY),
        "-b,--body-numbering= -d,--section-delimiter= -f,--footer-numbering= \
        -h,--header-numbering= -i,--line-increment= -l,--join-blank-lines= -n,--number-format= \
        -p,--no-renumber -s,--number-separator= -v,--starting-line-number= -w,--number-width= --help --version",
    ),
    gnu(
        "tac",
        Operands::Files(ANY),
        "-b,--before -r,--regex -s,--separator= --help --version",
    ),
    gnu(
        "comm",
        Operands::Files(2),
        "-1 -2 -3 --check-order --nocheck-order --output-delimiter= --total \
        -z,--zero-terminated --help --version",
    ),
    gnu(
        "paste",
        Operands::Files(ANY),
        "-d,--delimiters= -s,--serial -z,--zero-terminated --help --version",
    ),
    gnu(
        "join",
        Operands::Files(2),
        "-a= -e= -i,--ignore-case -j= -o= -t= -v= -1= -2= --check-order \
        --nocheck-order --header -z,--zero-terminated --help --version",
    ),
    counting(
        "fold",
        Operands::Files(ANY),
        "-b,--bytes -s,--spaces -w,--width= --help --version",
    ),
    counting(
        "expand",
        Operands::Files(ANY),
        "-i,--initial -t,--tabs= --help --version",
    ),
    gnu(
        "od",
        Operands::NotPlus(ANY),
        "-A,--address-radix= --endian= -j,--skip-bytes= -N,--read-bytes= \
        -S= --strings=? -t,--format= -v,--output-duplicates -w,--width=? --traditional!sets \
        -a -b -c -d -f -i -l -o -s -x --help --version",
    ),
    gnu(
        "column",
        Operands::Files(ANY),
        "-t,--table -n,--table-name= -O,--table-order= -N,--table-columns= \
        -l,--table-columns-limit= -E,--table-noextreme= -d,--table-noheadings -e,--table-header-repeat \
        -H,--table-hide= -R,--table-right= -T,--table-truncate= -W,--table-wrap= -L,--keep-empty-lines \
        -J,--json -r,--tree= -i,--tree-id= -p,--tree-parent= -c,--output-width= -o,--output-separator= \
        -s,--separator= -x,--fillrows -h,--help -V,--version",
    ),
    gnu(
        "basename",
        Operands::Text,
        "-a,--multiple -s,--suffix= -z,--zero --help --version",
    ),
    gnu("dirname", Operands::Text, "-z,--zero --help --version"),
    gnu(
        "realpath",
        Operands::Files(ANY),
        "-e,--canonicalize-existing -m,--canonicalize-missing -L,--logical \
        -P,--physical -q,--quiet --relative-to=/ --relative-base=/ -s,--strip,--no-symlinks -z,--zero \
        --help --version",
    ),
    gnu(
        "readlink",
        Operands::Files(ANY),
        "-f,--canonicalize -e,--canonicalize-existing \
        -m,--canonicalize-missing -n,--no-newline -q,--quiet -s,--silent -v,--verbose -z,--zero \
        --help --version",
    ),
    gnu(
        "pwd",
        Operands::None,
        "-L,--logical -P,--physical --help --version",
    ),
    gnu(
        "date",
        Operands::Format,
        "-d,--date= --debug -f,--file!names -I,--iso-8601=? --resolution \
        -R,--rfc-email --rfc-3339= -r,--reference=/ -s,--set!sets -u,--utc,--universal --help --version",
    ),
    counting(
        "seq",
        Operands::Text,
        "-f,--format= -s,--separator= -w,--equal-width --help --version",
    ),
    gnu("true", Operands::None, ""),
    gnu("false", Operands::None, ""),
    gnu("test", Operands::Test, ""),
    gnu("echo", Operands::Anything, ""),
    gnu("printf", Operands::Anything, ""),
];

const LS: &str = "-a,--all -A,--almost-all --author -b,--escape --block-size= -B,--ignore-backups -c -C \
    --color=? -d,--directory -D,--dired -f -F --classify=? --file-type --format= --full-time -g \
    --group-directories-first -G,--no-group -h,--human-readable --si -H,--dereference-command-line!follows \
    --dereference-command-line-symlink-to-dir!follows --hide= --hyperlink=? --indicator-style= -i,--inode \
    -I,--ignore= -k,--kibibytes -l -L,--dereference!follows -m -n,--numeric-uid-gid -N,--literal -o -p \
    -q,--hide-control-chars --show-control-chars -Q,--quote-name --quoting-style= -r,--reverse \
    -R,--recursive -s,--size -S --sort= --time= --time-style= -t -T,--tabsize= -u -U -v -w,--width= -x -X \
    -Z,--context --zero -1 --help --version";

const SORT: &str = "-b,--ignore-leading-blanks -d,--dictionary-order -f,--ignore-case \
    -g,--general-numeric-sort -i,--ignore-nonprinting -M,--month-sort -h,--human-numeric-sort \
    -n,--numeric-sort -R,--random-sort --random-source=/ -r,--reverse --sort= -V,--version-sort \
    --batch-size= -c -C --check=? --compress-program!runs --debug --files0-from!names -k,--key= -m,--merge \
    -o,--output!writes -s,--stable -S,--buffer-size= -t,--field-separator= -T,--temporary-directory!writes \
    --parallel= -u,--unique -y!sets -z,--zero-terminated --help --version";

const GREP: &str = "-E,--extended-regexp -F,--fixed-strings -G,--basic-regexp -P,--perl-regexp -X!sets \
    -e,--regexp= -f,--file!names -i,-y,--ignore-case --no-ignore-case -w,--word-regexp -x,--line-regexp \
    -z,--null-data -s,--no-messages -v,--invert-match -V,--version --help -m,--max-count= -b,--byte-offset \
    -n,--line-number --line-buffered -H,--with-filename -h,--no-filename --label= -o,--only-matching \
    -q,--quiet,--silent --binary-files= -a,--text -I -d,--directories= -D,--devices!devices -r,--recursive \
    -R,--dereference-recursive!follows --include= --exclude= --exclude-from=/ --exclude-dir= \
    -L,--files-without-match -l,--files-with-matches -c,--count -T,--initial-tab -Z,--null \
    -u,--unix-byte-offsets -B,--before-context= -A,--after-context= -C,--context= --group-separator= \
    --no-group-separator --color=? --colour=? -U,--binary";

const DIFF: &str = "--normal -q,--brief -s,--report-identical-files -c -C= --context=? -u -U= --unified=? \
    -e,--ed -n,--rcs -y,--side-by-side -W,--width= --left-column --suppress-common-lines -p,--show-c-function \
    -F,--show-function-line= -L,--label= -t,--expand-tabs -T,--initial-tab --tabsize= --suppress-blank-empty \
    -l,--paginate!runs -r,--recursive --no-dereference -N,--new-file -P,--unidirectional-new-file \
    --ignore-file-name-case --no-ignore-file-name-case -x,--exclude= -X,--exclude-from=/ \
    -S,--starting-file= --from-file!names --to-file!names -i,--ignore-case -E,--ignore-tab-expansion \
    -Z,--ignore-trailing-space -b,--ignore-space-change -w,--ignore-all-space -B,--ignore-blank-lines \
    -I,--ignore-matching-lines= -a,--text --strip-trailing-cr -D,--ifdef= --old-group-format= \
    --new-group-format= --unchanged-group-format= --changed-group-format= --line-format= --old-line-format= \
    --new-line-format= --unchanged-line-format= -d,--minimal -f,--forward-ed -h,-H,--speed-large-files \
    --horizon-lines= --color=? --palette= --inhibit-hunk-merge --binary --sdiff-merge-assist --help -v,--version";

const RG: &str = "-A,--after-context= -B,--before-context= -C,--context= --color= --colors= --column \
    --no-column --count-matches -c,--count --crlf -E,--encoding= --engine= -e,--regexp= -f,--file!names \
    --files -l,--files-with-matches --files-without-match -F,--fixed-strings -L,--follow!follows -g,--glob= \
    --iglob= --glob-case-insensitive -h,--help --heading --no-heading --hidden -. \
    --hostname-bin!runs -i,--ignore-case --ignore-file!names --include-zero -v,--invert-match \
    --json --line-buffered -n,--line-number -N,--no-line-number -x,--line-regexp -M,--max-columns= \
    --max-columns-preview -m,--max-count= -d,--max-depth,--maxdepth= --max-filesize= --mmap --no-mmap \
    -U,--multiline --multiline-dotall --no-config --no-ignore --no-ignore-dot --no-ignore-exclude \
    --no-ignore-global --no-ignore-parent --no-ignore-vcs --no-ignore-messages --no-messages \
    -I,--no-filename --no-require-git -0,--null --null-data --one-file-system -o,--only-matching \
    --passthru --path-separator= -P,--pcre2 --pre!runs --pre-glob!runs -p,--pretty -q,--quiet \
    -r,--replace= -z,--search-zip!runs -S,--smart-case -s,--case-sensitive --sort= --sortr= --stats \
    --stop-on-nonmatch -a,--text --no-text --trim --no-trim -t,--type= -T,--type-not= --type-list \
    -u,--unrestricted -V,--version --vimgrep -H,--with-filename -w,--word-regexp -j,--threads= \
    --debug --trace --binary --no-unicode --block-buffered --dfa-size-limit= --regex-size-limit= \
    --field-context-separator= --field-match-separator= --context-separator= --no-context-separator \
    --type-add= --type-clear= --hyperlink-format= --auto-hybrid-regex -b,--byte-offset";
