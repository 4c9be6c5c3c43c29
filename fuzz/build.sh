# Sourced by the scripts beside it: builds the targets, and says where they and all else are.
#
# Its lock file follows that of the package beside it, so that nobody has to think of both. The
# flags are what `cargo fuzz` gives, less what needs a nightly compiler: nothing of ours is
# unsafe, so that addresses need no sanitizer.
host=$(rustc -vV | sed -n 's/^host: //p')
out=${CARGO_TARGET_DIR:-../target}/fuzz
flags=(--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4)
for trace in inline-8bit-counters pc-table trace-compares; do
    flags+=("-Cllvm-args=-sanitizer-coverage-$trace")
done
RUSTFLAGS="${flags[*]}" cargo build --release --target "$host" --target-dir "$out"
out=$(cd "$out" && pwd)
bin=$out/$host/release
