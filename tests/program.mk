# SPDX-License-Identifier: GPL-2.0-only
# Read by Makefiles of programs: each of $(programs) is one source file with all of
# $(library), linked statically, in $(OUT).

CFLAGS += -pthread -MMD -MP
LDFLAGS = -static -pthread
objects = $(programs:%=$(OUT)/%.o) $(library:%.c=$(OUT)/%.o)

all: $(programs:%=$(OUT)/%)

$(programs:%=$(OUT)/%): %: %.o $(library:%.c=$(OUT)/%.o)
	$(CC) $(LDFLAGS) -o $@ $^

$(objects): $(OUT)/%.o: %.c $(MAKEFILE_LIST)
	@mkdir -p $(OUT)
	$(CC) $(CFLAGS) -c -o $@ $<

list:
	@echo $(programs)

install: all
	cp $(programs:%=$(OUT)/%) $(DESTDIR)

clean:
	rm -f $(programs:%=$(OUT)/%) $(objects) $(objects:.o=.d)

-include $(objects:.o=.d)

.PHONY: all list install clean
