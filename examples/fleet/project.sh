# Makes the project that the builds of this example build: what a checkout would bring.
set -e
rm -rf ./* 2>/dev/null || true
echo "$BRANCH-1" > REVISION
cat > configure <<'END'
#!/bin/sh
echo "configured with: $*"
printf 'FLAGS = %s\n' "$*" > config.mk
END
cat > Makefile <<'END'
include config.mk
all: hello
hello:
	@echo "cc -o hello hello.c $(FLAGS)"
	@echo "hello.c:7: warning: unused variable 'x'"
	@printf '#!/bin/sh\necho "hello %s $(FLAGS)"\n' '$$1' > hello && chmod +x hello
clean:
	@rm -f hello && echo clean
END
cat > run-tests <<'END'
#!/bin/sh
# -v: a line per test; --short: without the long ones; --list-long: only names; --only NAME…: these.
case " $* " in *" --list-long "*) echo test_long; exit 0;; esac
case " $* " in
  *" --only "*) for t in "$@"; do case $t in test_*) echo "$t ... ok";; esac; done; exit 0;;
esac
for i in 1 2 3 4 5 6 7 8 9; do echo "test_number_$i ... ok"; done
echo "test_network ... skipped"
case " $* " in *" --short "*) ;; *) echo "test_long ... ok";; esac
if [ -n "$FLAKY" ]; then echo "test_flaky ... FAIL"; exit 1; fi
END
chmod +x configure run-tests
echo "fetched $(cat REVISION)"
