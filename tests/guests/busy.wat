;; A component whose every function has the host work for it, on and on: with pairs, files, secrets, its log.
(component
  (import "wasi:keyvalue/store@0.2.0-draft" (instance $store
    (export "bucket" (type $bucket (sub resource)))
    (type $error (variant (case "no-such-store") (case "access-denied") (case "other" string)))
    (export "error" (type $e (eq $error)))
    (export "open" (func (param "identifier" string) (result (result (own $bucket) (error $e)))))
    (export "[method]bucket.get"
      (func (param "self" (borrow $bucket)) (param "key" string) (result (result (option (list u8)) (error $e)))))
    (export "[method]bucket.set"
      (func (param "self" (borrow $bucket)) (param "key" string) (param "value" (list u8))
        (result (result (error $e)))))))
  (import "wasi:filesystem/types@0.2.6" (instance $types
    (export "descriptor" (type $descriptor (sub resource)))
    (type $code (enum "access" "would-block" "already" "bad-descriptor" "busy" "deadlock" "quota" "exist"
      "file-too-large" "illegal-byte-sequence" "in-progress" "interrupted" "invalid" "io" "is-directory" "loop"
      "too-many-links" "message-size" "name-too-long" "no-device" "no-entry" "no-lock" "insufficient-memory"
      "insufficient-space" "not-directory" "not-empty" "not-recoverable" "unsupported" "no-tty" "no-such-device"
      "overflow" "not-permitted" "pipe" "read-only" "invalid-seek" "text-file-busy" "cross-device"))
    (export "error-code" (type $error-code (eq $code)))
    (export "[method]descriptor.create-directory-at"
      (func (param "self" (borrow $descriptor)) (param "path" string) (result (result (error $error-code)))))
    (export "[method]descriptor.readlink-at"
      (func (param "self" (borrow $descriptor)) (param "path" string) (result (result string (error $error-code)))))))
  (alias export $types "descriptor" (type $descriptor))
  (import "wasi:filesystem/preopens@0.2.6" (instance $preopens
    (alias outer 1 $descriptor (type $outer))
    (export "descriptor" (type $d (eq $outer)))
    (export "get-directories" (func (result (list (tuple (own $d) string)))))))
  (import "wares:secrets/store@0.1.0" (instance $secrets
    (export "secret" (type $secret (sub resource)))
    (type $error (variant (case "not-granted") (case "not-set") (case "unavailable" string)))
    (export "error" (type $e (eq $error)))
    (export "get" (func (param "name" string) (result (result (own $secret) (error $e)))))))
  (import "wasi:logging/logging@0.1.0-draft" (instance $logging
    (type $l (enum "trace" "debug" "info" "warn" "error" "critical"))
    (export "level" (type $level (eq $l)))
    (export "log" (func (param "level" $level) (param "context" string) (param "message" string)))))

  ;; What the host returns goes behind what came before it, and again from the beginning when there is no room.
  (core module $memory
    (memory (export "memory") 1)
    (data (i32.const 0) "counts")
    (data (i32.const 16) "token")
    (global $next (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
      (if (i32.gt_u (i32.add (local.get $at) (local.get 3)) (i32.const 65536)) (then (local.set $at (i32.const 4096))))
      (global.set $next (i32.add (local.get $at) (local.get 3)))
      (local.get $at)))
  (core instance $m (instantiate $memory))
  (alias core export $m "memory" (core memory $memory))
  (alias core export $m "realloc" (core func $realloc))

  (core func $open (canon lower (func $store "open") (memory $memory) (realloc $realloc)))
  (core func $get (canon lower (func $store "[method]bucket.get") (memory $memory) (realloc $realloc)))
  (core func $set (canon lower (func $store "[method]bucket.set") (memory $memory) (realloc $realloc)))
  (core func $directories (canon lower (func $preopens "get-directories") (memory $memory) (realloc $realloc)))
  (core func $make (canon lower (func $types "[method]descriptor.create-directory-at") (memory $memory)))
  (core func $read-link
    (canon lower (func $types "[method]descriptor.readlink-at") (memory $memory) (realloc $realloc)))
  (core func $secret (canon lower (func $secrets "get") (memory $memory) (realloc $realloc)))
  (core func $log (canon lower (func $logging "log") (memory $memory)))

  (core module $busy
    (import "host" "open" (func $open (param i32 i32 i32)))
    (import "host" "get" (func $get (param i32 i32 i32 i32)))
    (import "host" "set" (func $set (param i32 i32 i32 i32 i32 i32)))
    (import "host" "directories" (func $directories (param i32)))
    (import "host" "make" (func $make (param i32 i32 i32 i32)))
    (import "host" "read-link" (func $read-link (param i32 i32 i32 i32)))
    (import "host" "secret" (func $secret (param i32 i32 i32)))
    (import "host" "log" (func $log (param i32 i32 i32 i32 i32)))
    (import "host" "memory" (memory 1))
    (func $bucket (result i32)
      (call $open (i32.const 0) (i32.const 6) (i32.const 64))
      (if (i32.load8_u (i32.const 64)) (then unreachable))
      (i32.load (i32.const 68)))
    (func $root (result i32)
      (call $directories (i32.const 64))
      (if (i32.ne (i32.load (i32.const 68)) (i32.const 1)) (then unreachable))
      (i32.load (i32.load (i32.const 64))))
    (func (export "read-pairs") (local $b i32)
      (local.set $b (call $bucket))
      (loop $again (call $get (local.get $b) (i32.const 0) (i32.const 6) (i32.const 64)) (br $again)))
    (func (export "change-pairs") (local $b i32)
      (local.set $b (call $bucket))
      (loop $again
        (call $set (local.get $b) (i32.const 0) (i32.const 6) (i32.const 0) (i32.const 6) (i32.const 64))
        (br $again)))
    (func (export "change-files") (local $d i32)
      (local.set $d (call $root))
      (loop $again (call $make (local.get $d) (i32.const 0) (i32.const 6) (i32.const 64)) (br $again)))
    (func (export "read-files") (local $d i32)
      (local.set $d (call $root))
      (loop $again (call $read-link (local.get $d) (i32.const 0) (i32.const 6) (i32.const 64)) (br $again)))
    (func (export "read-secrets")
      (loop $again
        (call $secret (i32.const 16) (i32.const 5) (i32.const 64))
        (if (i32.eqz (i32.load8_u (i32.const 64))) (then unreachable))
        (br $again)))
    (func (export "write-logs")
      (loop $again
        (call $log (i32.const 2) (i32.const 0) (i32.const 6) (i32.const 0) (i32.const 4096))
        (br $again))))
  (core instance $host
    (export "open" (func $open))
    (export "get" (func $get))
    (export "set" (func $set))
    (export "directories" (func $directories))
    (export "make" (func $make))
    (export "read-link" (func $read-link))
    (export "secret" (func $secret))
    (export "log" (func $log))
    (export "memory" (memory $memory)))
  (core instance $i (instantiate $busy (with "host" (instance $host))))
  (func (export "read-pairs") (canon lift (core func $i "read-pairs")))
  (func (export "change-pairs") (canon lift (core func $i "change-pairs")))
  (func (export "read-files") (canon lift (core func $i "read-files")))
  (func (export "change-files") (canon lift (core func $i "change-files")))
  (func (export "read-secrets") (canon lift (core func $i "read-secrets")))
  (func (export "write-logs") (canon lift (core func $i "write-logs")))
  (@custom "wares:manifest" "[component]\nname = 'test:busy'\nversion = '1.0.0'\n[capabilities]\nkeyvalue = ['counts']\nfiles = 'read-write'\nsecrets = ['token']\n[limits]\ncpu-ms-max = 500\nwall-ms-max = 60000\n"))
