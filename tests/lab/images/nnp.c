/* The suite's nonewprivs program: set-user-ID root in its image, it tells whether that took effect. */
#include <stdio.h>
#include <unistd.h>

int main(void) {
  printf("Effective uid: %d\n", (int)geteuid());
  return 0;
}
