# Finds or installs the servers that are not ours, for scripts/other-emulators and scripts/compare-servers: sourced at the root
# of the repository. Sets `target`, `python` (with Google's clients) and `places` (NAME=PROGRAM of each server that is there), and
# says SKIPPED about each that is not. Installs into target/ only.

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
tests=tests/foreign/emulators

skipped() {
    echo "SKIPPED $*" >&2
    return 1
}

# environment DIRECTORY REQUIREMENTS PYTHON OPTIONS...: makes a Python environment, unless it is there.
environment() {
    local directory=$1 requirements=$2 python=$3
    shift 3
    cmp -s "$requirements" "$directory/installed.txt" && return 0
    echo "installing $requirements into $directory" >&2
    rm -rf "$directory"
    "$python" -m venv "$directory" &&
        "$directory/bin/pip" install --quiet --disable-pip-version-check "$@" -r "$requirements" >&2 &&
        cp "$requirements" "$directory/installed.txt"
}

# python_of MINOR: the first Python of at least version 3.MINOR with venv.
python_of() {
    local candidate
    for candidate in python3 python3.{13..16} "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin/python; do
        if "$candidate" -c "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, $1))" 2>/dev/null; then
            echo "$candidate"
            return 0
        fi
    done
    return 1
}

# Of gcloud, or the program that PUBSUB_EMULATOR names.
google_emulator() {
    local gcloud program=${PUBSUB_EMULATOR:-} name="Google's Pub/Sub emulator"
    if [[ -z $program ]]; then
        gcloud=$(command -v gcloud) || { skipped "$name: there is no gcloud on this machine" || return 1; }
        program=$(dirname "$(readlink -f "$gcloud")")/../platform/pubsub-emulator/bin/cloud-pubsub-emulator
    fi
    [[ -x $program ]] || { skipped "$name: there is no $program" || return 1; }
    java -version >/dev/null 2>&1 || { skipped "$name: there is no java on this machine" || return 1; }
    realpath "$program"
}

# Modules and build results of Go go to target/ as well; a second build takes no time.
pstest() {
    go version >/dev/null 2>&1 || { skipped "pstest: there is no go on this machine" || return 1; }
    (
        cd tests/foreign/pstest
        export GOMODCACHE=$target/go/modules GOCACHE=$target/go/build GOFLAGS=-modcacherw GOTOOLCHAIN=local
        # Without this it names each module as it comes.
        go mod download 2>/dev/null
        go build -o "$target/pstest" . >&2
    ) || { skipped "pstest: it does not build, see above (no Go proxy, or a Go older than go.mod wants?)" || return 1; }
    echo "$target/pstest"
}

local_bigquery() {
    local python
    python=$(python_of 13) || { skipped "local-bigquery: there is no Python of at least 3.13 with venv" || return 1; }
    # Exact versions without their declared dependencies: it asks for a DuckDB whose extensions no package has.
    environment "$target/local-bigquery" $tests/local-bigquery.txt "$python" --no-deps ||
        { skipped "local-bigquery: it cannot be installed, see above" || return 1; }
    echo "$target/local-bigquery/bin/python"
}

# find_places MILLSTREAM: the servers, the first of them ours.
find_places() {
    local found
    python=$(python_of 10) || { skipped "other emulators: there is no python3 of at least 3.10 with venv" || return 1; }
    environment "$target/foreign-clients" tests/foreign/requirements.txt "$python"
    python=$target/foreign-clients/bin/python
    places=("millstream=$1")
    if found=$(google_emulator); then places+=("google-emulator=$found"); fi
    if found=$(pstest); then places+=("pstest=$found"); fi
    if found=$(local_bigquery); then places+=("local-bigquery=$found"); fi
    unset GOOGLE_APPLICATION_CREDENTIALS GOOGLE_CLOUD_PROJECT
    unset PUBSUB_EMULATOR_HOST BIGQUERY_EMULATOR_HOST BIGQUERY_STORAGE_EMULATOR_HOST
    export PYTHONDONTWRITEBYTECODE=1
}
