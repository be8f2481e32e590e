# Powers the machine off and says why on its console; `shutdown behaviour: terminate` then ends the bill.
tail -n 5 "$basedir/twistd.log" 2>/dev/null
echo "buildmoon: $1: the machine powers off"
sync
timeout 60 shutdown -P now || timeout 60 poweroff
# A service that does not end must not keep it up.
sleep 300
poweroff -f
