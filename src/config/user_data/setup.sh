# Runs once, as root, when the machine has booted; what it is to do stands in the variables above.
# `$home` is root's alone: what runs builds can't touch the switch that powers the machine off.
set -eu
umask 022
PATH="${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEBIAN_FRONTEND=noninteractive
export PATH DEBIAN_FRONTEND
home="$basedir.root"
console=/dev/console
[ -w "$console" ] || console=/dev/null

say() { echo "buildmoon: $*"; }

ended() {
    code=$?
    [ -e "$home/ready" ] || basedir="$basedir" sh -c "$off" off "the setup failed (exit code $code)"
}
trap ended EXIT

# A service of this name, of this file; as that user.
service() {
    if [ -d /run/systemd/system ]; then
        cat >"/etc/systemd/system/$1.service" <<UNIT
[Unit]
Description=$1
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0
[Service]
ExecStart=/bin/sh "$home/$2"
User=$3
Restart=always
RestartSec=10
StandardOutput=journal+console
StandardError=journal+console
[Install]
WantedBy=multi-user.target
UNIT
        systemctl daemon-reload
        systemctl enable --now "$1.service"
    elif [ "$3" = "$(id -un)" ]; then
        setsid sh "$home/$2" >>"$console" 2>&1 </dev/null &
    else
        setsid su -s /bin/sh "$3" -c "exec sh '$home/$2'" >>"$console" 2>&1 </dev/null &
    fi
}

install_packages() {
    tries=0
    until
        if command -v apt-get >/dev/null; then
            apt-get -q update && apt-get -q -y install --no-install-recommends "$@"
        elif command -v dnf >/dev/null; then dnf -q -y install "$@"
        elif command -v yum >/dev/null; then yum -q -y install "$@"
        elif command -v zypper >/dev/null; then zypper --non-interactive --quiet install "$@"
        elif command -v apk >/dev/null; then apk add --quiet "$@"
        else say "no package manager is known here, which had to install: $*"; exit 1
        fi
    do
        tries=$((tries + 1))
        [ "$tries" -lt 5 ] || { say "not installed after $tries tries: $*"; exit 1; }
        sleep 10
    done
}

# The switch is armed before anything else is tried.
mkdir -p "$home" "$basedir/info"
printf '%s' "$off" >"$home/off"
printf '%s' "$watch" >"$home/watch.py"
printf '%s' "$watched" >"$home/watch.json"
cat >"$home/watch" <<WATCH
home='$home' basedir='$basedir'
export home basedir
waited=0
while [ ! -e "\$home/ready" ]; do
    if [ "\$waited" -ge $setup_timeout ]; then
        exec sh "\$home/off" "the worker was not set up within $setup_timeout seconds"
    fi
    sleep 2
    waited=\$((waited + 2))
done
why="\$("\$(cat "\$home/ready")" "\$home/watch.py" "\$home/watch.json" | tail -n 1)"
exec sh "\$home/off" "\${why:-the watch over the master ended}"
WATCH
service buildmoon-watch watch root

id -u "$user" >/dev/null 2>&1 || useradd --system --home-dir "$basedir" --shell /bin/sh "$user" || adduser -S -D -h "$basedir" "$user"

# shellcheck disable=SC2086 # names of packages are words
[ -z "$packages" ] || install_packages $packages
case "$install" in
pip)
    if ! "$python" -c 'import venv, ensurepip' >/dev/null 2>&1; then
        if command -v apt-get >/dev/null; then install_packages python3 python3-venv
        elif command -v apk >/dev/null; then install_packages python3 py3-pip
        else install_packages python3
        fi
    fi
    "$python" -m venv "$home/env"
    python="$home/env/bin/python"
    worker="$home/env/bin/buildbot-worker"
    printf '%s\n' "$requirements" >"$home/requirements.txt"
    tries=0
    until "$python" -m pip install --quiet --disable-pip-version-check --no-input ${index_url:+--index-url "$index_url"} -r "$home/requirements.txt"; do
        tries=$((tries + 1))
        [ "$tries" -lt 5 ] || exit 1
        sleep 10
    done
    ;;
package)
    install_packages python3 buildbot-worker
    worker=buildbot-worker
    ;;
*)
    worker=buildbot-worker
    ;;
esac
command -v "$worker" >/dev/null || { say "there is no $worker on this machine"; exit 1; }
worker="$(command -v "$worker")"
python="$(command -v "$python")"

if [ -n "$prepare" ]; then
    sh -e -c "$prepare"
fi

(umask 077 && printf '%s' "$login" >"$basedir/worker.json")
printf '%s' "$tac" >"$basedir/buildbot.tac"
echo "set up by Buildmoon" >"$basedir/info/admin"
hostname >"$basedir/info/host" 2>/dev/null || :
chown -R "$user" "$basedir"
cat >"$home/run" <<RUN
export HOME='$basedir' PATH='$PATH'
cd '$basedir' || exit 1
while [ ! -e shutdown.stamp ]; do
    rm -f twistd.pid
    '$worker' start --nodaemon '$basedir' || :
    sleep 5
done
# It was told to go; nothing is to start it again.
while :; do sleep 3600; done
RUN
service buildmoon-worker run "$user"
printf '%s' "$python" >"$home/ready.new"
mv "$home/ready.new" "$home/ready"
say "the worker is set up"
