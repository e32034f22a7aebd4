# shellcheck shell=sh disable=SC2154
# What check_install, check_package and check_subproject share: building and running the stranger's project in
# tests/outside. They set root, work, cmake, CC and CXX (which may be "", or name none that is there), and EXTRA, flags
# that compiler and linker need with libraries built for a sanitizer or for coverage.

# quietly COMMAND...: shows what it says only if it fails.
quietly() {
    if ! "$@" >"$work/log" 2>&1; then
        echo "FAILED: $*"
        cat "$work/log"
        exit 1
    fi
}

has_cxx() {
    [ -n "$CXX" ] && command -v "$CXX" >/dev/null 2>&1
}

copy_outside() {
    cp -r "$root/tests/outside" "$1"
    cp "$root"/tests/contract/selectors_*.[ch] "$1"
}

# with_cmake DIR [OPTIONS...]: configures DIR, builds and runs it.
with_cmake() {
    dir=$1
    shift
    copy_outside "$dir"
    if has_cxx; then
        set -- "$@" -DCMAKE_CXX_COMPILER="$CXX"
    fi
    quietly "$cmake" -S "$dir" -B "$dir/build" -DCMAKE_C_COMPILER="$CC" \
        -DCMAKE_C_FLAGS="$EXTRA" -DCMAKE_CXX_FLAGS="$EXTRA" "$@"
    quietly "$cmake" --build "$dir/build" --parallel 2
    quietly "$cmake" -E chdir "$dir/build" "${cmake%cmake}ctest" --output-on-failure --no-tests=error
}

# with_pkg_config DIR LIBDIR: builds and runs DIR with what pkg-config finds; its libraries are in LIBDIR.
with_pkg_config() {
    copy_outside "$1"
    programs='echo simulated selectors_alone selectors_select'
    quietly make -C "$1" SELECTORS=. CC="$CC" EXTRA="$EXTRA" all
    quietly "$1/echo_static"
    if has_cxx; then
        quietly make -C "$1" CXX="$CXX" EXTRA="$EXTRA" cxx
        programs="$programs echo_cpp plain_cpp"
    fi
    for program in $programs; do
        quietly env LD_LIBRARY_PATH="$2" "$1/$program"
        env LD_LIBRARY_PATH="$2" ldd "$1/$program" | grep -q "libeddy.so.0 => $2/" || {
            echo "FAILED: $program does not use the library in $2"
            exit 1
        }
    done
}

note_cxx() {
    has_cxx || echo "without C++: there is no compiler for it"
}
