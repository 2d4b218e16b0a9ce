;; Asynchronous functions, exported by the world itself: one that lets others run before it answers, one that takes streams and
;; never gives them back.
(component
  (type $bytes (stream u8))
  (core func $answer (canon task.return (result u32)))
  (core func $stream (canon stream.new $bytes))
  (core module $code
    (import "" "answer" (func $answer (param i32)))
    (import "" "stream" (func $stream (result i64)))
    (global $argument (mut i32) (i32.const 0))
    ;; 1: call back when others have run.
    (func (export "double") (param i32) (result i32)
      (global.set $argument (local.get 0))
      (i32.const 1))
    ;; 0: the task is over.
    (func (export "double-on") (param i32 i32 i32) (result i32)
      (call $answer (i32.mul (global.get $argument) (i32.const 2)))
      (i32.const 0))
    (func (export "hoard") (result i32)
      (loop $again (drop (call $stream)) (br $again))
      unreachable)
    (func (export "hoard-on") (param i32 i32 i32) (result i32) unreachable))
  (core instance $running (instantiate $code
    (with "" (instance (export "answer" (func $answer)) (export "stream" (func $stream))))))
  (func (export "double") async (param "number" u32) (result u32)
    (canon lift (core func $running "double") async (callback (func $running "double-on"))))
  (func (export "hoard") async (result u32)
    (canon lift (core func $running "hoard") async (callback (func $running "hoard-on")))))
